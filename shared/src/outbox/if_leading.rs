//! The check of the relay's epoch, within the statement that writes.

/// A statement whose parts take effect only if `$1` is the current epoch; answers whether it is.
///
/// Each part is a common table expression and reads `FROM lease`. The row of the lease is locked
/// until the transaction ends, so no other relay can begin to lead meanwhile. All parts of a
/// statement see the same snapshot.
macro_rules! if_leading {
    ($($parts:expr),+ $(,)?) => {
        concat!(
            "WITH lease AS MATERIALIZED (
                 SELECT epoch FROM messaging.relay_lease WHERE epoch = $1 FOR SHARE
             ), ",
            $($parts,)+
            " SELECT EXISTS (SELECT FROM lease)"
        )
    };
}
pub(crate) use if_leading;
