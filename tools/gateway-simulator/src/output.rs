//! The output of the process: its address and its log. The process goes on if no process reads
//! them; the evidence is the [journal](crate::journal).

use std::{
    io::{self, Write},
    net::SocketAddr,
};

/// The process that started this one reads this line to learn the port. With a port of its own
/// choice it need not.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "listening on http://{address}").and_then(|()| out.flush()));
    Ok(())
}

/// Standard error, as a log.
#[derive(Clone, Copy, Debug)]
pub struct StderrLog;

impl Write for StderrLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        drop(io::stderr().write_all(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
