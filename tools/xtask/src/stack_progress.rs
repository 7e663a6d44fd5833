//! The start of the servers, on the progress board.

use devstack::{PartState, StackPart, StartProgress};
use sagactl::screen::ProgressBoard;

/// Shows how each server stands, a line each.
#[derive(Clone, Copy, Debug)]
pub struct StackProgress<'b>(pub &'b ProgressBoard);

impl StartProgress for StackProgress<'_> {
    fn state(&self, part: StackPart, state: &PartState) {
        match state {
            PartState::Installing(_) | PartState::Starting => {
                self.0.set(&part.to_string(), &state.to_string());
            }
            PartState::Lacking(what) => self.0.note(format_args!("! {part}: {what}")),
            PartState::Ready(_) => self.0.end(&part.to_string(), &state.to_string()),
        }
    }
}
