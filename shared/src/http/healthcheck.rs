//! The client of `--health`: checks whether the process with this admin address is ready.
//!
//! A separate process makes this check every few seconds, in a container that has neither shell nor
//! `curl`. So the client blocks, has no runtime, and implements only the HTTP that the check needs.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

/// A process that has not answered after this long is not ready.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// What is read of an answer, at most.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// Asks, and says on standard error what keeps the process from being ready.
pub(crate) fn ask_readiness(admin: SocketAddr) -> ExitCode {
    let complaint = match ask(reachable(admin)) {
        Ok(answer) if is_success(&answer) => return ExitCode::SUCCESS,
        Ok(answer) => answer,
        Err(error) => format!("{admin} does not answer: {error}"),
    };
    // Nobody is left to be told that this cannot be told.
    drop(writeln!(io::stderr(), "not ready: {complaint}"));
    ExitCode::FAILURE
}

/// A process that listens on all addresses is asked over loopback.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let mut address = listens;
    if listens.ip().is_unspecified() {
        let loopback: IpAddr =
            if listens.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn is_success(answer: &str) -> bool {
    answer.split_whitespace().nth(1) == Some("200")
}

#[cfg(test)]
mod tests;
