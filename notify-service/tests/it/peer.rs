//! A fake mail server that misbehaves as the test requires, which a correct mail server cannot do.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

/// The server's behaviour at a step.
#[derive(Debug)]
pub(crate) enum Turn {
    Say(&'static str),
    HangUp,
    /// Answers this and closes the connection.
    SayAndHangUp(&'static str),
    /// Sends nothing until the test allows it, then this.
    Wait(Receiver<()>, &'static str),
}

/// The server's deviations from normal behaviour in one conversation.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    pub(crate) greeting: Option<Turn>,
    pub(crate) hello: Option<Turn>,
    /// Where there is one, it asks for a login.
    pub(crate) login: Option<Turn>,
    pub(crate) sender: Option<Turn>,
    pub(crate) recipient: Option<Turn>,
    pub(crate) data: Option<Turn>,
    pub(crate) content: Option<Turn>,
}

impl Manner {
    /// Says this to every recipient.
    pub(crate) fn refusing(answer: &'static str) -> Self {
        Self { recipient: Some(Turn::Say(answer)), ..Self::default() }
    }

    /// Does this after it has been given the mail.
    pub(crate) fn after_content(turn: Turn) -> Self {
        Self { content: Some(turn), ..Self::default() }
    }
}

/// A gate, and who opens it.
pub(crate) fn gate() -> (Sender<()>, Receiver<()>) {
    mpsc::channel()
}

/// The server. Conversations behave by `manners`, one after the other; later ones well.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
    conversations: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) fn new(manners: impl IntoIterator<Item = Manner>) -> Self {
        Self::at(TcpListener::bind(("127.0.0.1", 0)).unwrap(), manners)
    }

    /// One that listens there.
    pub(crate) fn at(listener: TcpListener, manners: impl IntoIterator<Item = Manner>) -> Self {
        let address = listener.local_addr().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let mut manners: VecDeque<Manner> = manners.into_iter().collect();
        let taken = Arc::clone(&mails);
        let conversations = Arc::new(AtomicUsize::new(0));
        let begun = Arc::clone(&conversations);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let manner = manners.pop_front().unwrap_or_default();
                begun.fetch_add(1, Ordering::SeqCst);
                let taken = Arc::clone(&taken);
                // A client that hangs up is no concern of the server's.
                thread::spawn(move || drop(converse(&stream, manner, &taken)));
            }
        });
        Self { address, mails, conversations }
    }

    pub(crate) fn smtp(&self) -> String {
        self.address.to_string()
    }

    /// The conversations that were begun.
    pub(crate) fn conversations(&self) -> usize {
        self.conversations.load(Ordering::SeqCst)
    }

    /// The mails that it was given, taken or not.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

/// Whether the conversation goes on.
fn turn(mut stream: &TcpStream, own: Option<Turn>, usual: &str) -> std::io::Result<bool> {
    let answer = match own {
        None => usual,
        Some(Turn::Say(answer)) => answer,
        Some(Turn::HangUp) => return Ok(false),
        Some(Turn::SayAndHangUp(answer)) => {
            stream.write_all(format!("{answer}\r\n").as_bytes())?;
            return Ok(false);
        }
        Some(Turn::Wait(gate, answer)) => {
            // Let by a word, or by the test's end.
            let _opened = gate.recv();
            answer
        }
    };
    stream.write_all(format!("{answer}\r\n").as_bytes())?;
    Ok(true)
}

fn converse(
    stream: &TcpStream,
    mut manner: Manner,
    mails: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut goes_on = turn(stream, manner.greeting.take(), "220 peer")?;
    let mut line = String::new();
    while goes_on && {
        line.clear();
        reader.read_line(&mut line)?
    } > 0
    {
        let verb = line.split([' ', ':', '\r']).next().unwrap_or_default().to_uppercase();
        goes_on = match verb.as_str() {
            "EHLO" if manner.login.is_some() => turn(stream, None, "250-peer\r\n250 AUTH PLAIN")?,
            "EHLO" => turn(stream, manner.hello.take(), "250 peer")?,
            "AUTH" => turn(stream, manner.login.take(), "235 ok")?,
            "MAIL" => turn(stream, manner.sender.take(), "250 ok")?,
            "RCPT" => turn(stream, manner.recipient.take(), "250 ok")?,
            "QUIT" => return Ok(()),
            "DATA" if manner.data.is_some() => turn(stream, manner.data.take(), "354 go on")?,
            "DATA" => {
                turn(stream, None, "354 go on")?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") && reader.read_line(&mut mail)? > 0 {}
                mails.lock().unwrap().push(mail);
                turn(stream, manner.content.take(), "250 taken")?
            }
            _ => turn(stream, None, "250 ok")?,
        };
    }
    Ok(())
}
