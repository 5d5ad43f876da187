//! A webhook of one's own on loopback, which keeps what is posted to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A request that was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Path and query.
    pub target: String,
    /// Header lines, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Posted {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answer of a webhook: status, further header lines and body. `None` leaves the request without one.
pub type Answer = Option<(u16, &'static str, &'static str)>;

/// A webhook. Its thread ends with the test's process.
pub struct Webhook {
    pub url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Webhook {
    /// A webhook that accepts everything, in the way of all formats.
    pub fn start() -> Self {
        Webhook::answering(|_, _| Some((200, "", r#"{"code":0,"errcode":0}"#)))
    }

    /// A webhook that answers by the number of the request, from 0, and by the request.
    pub fn answering(answer: impl Fn(usize, &Posted) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posted);
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            let streams = listener.incoming().flatten();
            let requests = streams.filter_map(|stream| Some((read(&stream)?, stream)));
            for (number, (request, stream)) in requests.enumerate() {
                kept.lock().expect("no panic").push(request.clone());
                match answer(number, &request) {
                    Some((status, headers, body)) => {
                        let length = body.len();
                        let _ = write!(
                            &stream,
                            "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\
                             connection: close\r\n\r\n{body}"
                        );
                    }
                    None => unanswered.push(stream),
                }
            }
        });
        Webhook { url, posted }
    }

    /// Returns the requests since the last call.
    pub fn take(&self) -> Vec<Posted> {
        std::mem::take(&mut self.posted.lock().expect("no panic"))
    }
}

fn read(stream: &TcpStream) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).ok()? > 2 {}
    let target = head.split(' ').nth(1)?.to_owned();
    let head = head.to_ascii_lowercase().replace("\r\n", "\n");
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "));
    let mut body = vec![0; length?.trim().parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { target, head, body })
}
