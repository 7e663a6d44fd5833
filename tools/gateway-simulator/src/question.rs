//! The `--health` check: whether the gateway that listens at this address is alive. For a container
//! that has neither shell nor `curl`.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A gateway that has not answered after this time is not alive.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// The bytes read of an answer: they include its status line.
const ANSWER_BYTES_MAX: u64 = 64;

/// Asks; an error is a no.
pub fn ask(listens: SocketAddr) -> io::Result<()> {
    let mut address = listens;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
}
