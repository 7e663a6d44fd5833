//! A job handler whose outside world answers at once, and whose results are settled as they are.

use shared::{
    effects::DecisionEffects,
    fault::Fault,
    jobs::{AttemptFailure, ClaimedJob, DoubtLimit, JobHandler, JobResult},
};
use sqlx::PgConnection;

/// The handler of a service, without its calls.
#[derive(Debug)]
pub struct InstantJob<J: JobHandler> {
    /// Settles the results in the service's own tables.
    pub inner: J,
    /// The answer of the outside world to a job.
    pub answer: fn(&ClaimedJob) -> J::Done,
}

impl<J: JobHandler> JobHandler for InstantJob<J> {
    const KIND: &'static str = J::KIND;
    type Done = J::Done;

    fn doubts(&self) -> Option<DoubtLimit> {
        self.inner.doubts()
    }

    async fn perform(&self, job: &ClaimedJob) -> Result<J::Done, AttemptFailure> {
        Ok((self.answer)(job))
    }

    async fn settle(
        &self,
        conn: &mut PgConnection,
        ended: &[(ClaimedJob, JobResult<J::Done>)],
    ) -> Result<DecisionEffects, Fault> {
        self.inner.settle(conn, ended).await
    }
}
