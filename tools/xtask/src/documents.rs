//! The commands that documents tell a reader to paste, and what they show of the output.
//!
//! A fenced block that begins with `sh run=native`, `sh run=compose` or `sh run=native,compose` is
//! run by a test, word for word, against that stack; `stays` behind it marks a command that runs
//! until Ctrl-C. A block `text shown` after it is the output, of which each line has to appear in
//! what is printed; numbers, ids, times and addresses may differ. `…` stands for anything.

mod blocks;
mod moved;
mod shape;

pub(crate) use self::{
    blocks::{CommandBlock, DocumentedStack, command_blocks},
    moved::MovedAddresses,
    shape::missing_lines,
};
