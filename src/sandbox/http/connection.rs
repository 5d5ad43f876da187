//! Connections that the sandbox can break, and bodies that are sent step by step.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use crate::sandbox::state::{StopSignal, Stopped, Underway};

/// Hands out connections that can be broken.
pub struct WireLines(pub TcpListener);

impl Listener for WireLines {
    type Io = WireLine;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (WireLine, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are written at once, because a delay would disturb tests that measure time.
        let _ = stream.set_nodelay(true);
        let line = WireLine {
            stream,
            cutter: Cutter::default(),
        };
        (line, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
pub struct WireLine {
    stream: TcpStream,
    cutter: Cutter,
}

/// Breaks a connection.
#[derive(Clone, Debug, Default)]
pub struct Cutter(Arc<AtomicBool>);

impl Cutter {
    /// Stops all sending: the next attempt to write resets the connection.
    pub fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, WireLines>> for Cutter {
    fn connect_info(stream: IncomingStream<'_, WireLines>) -> Self {
        stream.io().cutter.clone()
    }
}

impl WireLine {
    /// # Errors
    /// The connection was cut. Closing it is then a reset, as from a server that crashed.
    fn intact(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.cutter.0.load(Ordering::SeqCst) {
            // If the system refuses, the client sees an ordinary end of the connection.
            let _ = self.stream.set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for WireLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        buffer: &mut ReadBuf,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for WireLine {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.intact()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        parts: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        self.intact()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        self.intact()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        self.intact()?.poll_shutdown(cx)
    }
}

/// The steps in which a body is sent.
#[derive(Debug)]
pub struct Content {
    steps: VecDeque<Step>,
    /// Length in bytes for Content-Length; `None` sends the body in chunks.
    length: Option<u64>,
}

#[derive(Debug)]
enum Step {
    Bytes(Bytes),
    /// Sends the same bytes this many times; `None` repeats forever.
    Repeat(Bytes, Option<u64>),
    Wait(Duration),
    /// Flushes the bytes that were given so far.
    Flush,
    /// Sends nothing more, but does not end the body.
    Hang,
    /// Closes the connection.
    Break,
}

/// Number of pieces per second of a slow body.
const DRIPS_A_SECOND: u64 = 20;

impl Content {
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Content {
            length: Some(bytes.len() as u64),
            steps: if bytes.is_empty() {
                VecDeque::new()
            } else {
                [Step::Bytes(bytes)].into()
            },
        }
    }

    /// Returns half of the bytes, followed by a hang.
    pub fn half_then_hang(bytes: Bytes) -> Self {
        Content {
            length: Some(bytes.len() as u64),
            steps: [Step::Bytes(first_half(&bytes)), Step::Hang].into(),
        }
    }

    /// Returns half of the bytes, followed by a closed connection.
    pub fn half_then_break(bytes: Bytes) -> Self {
        Content {
            length: Some(bytes.len() as u64),
            steps: [Step::Bytes(first_half(&bytes)), Step::Flush, Step::Break].into(),
        }
    }

    /// Returns `head`, `block` repeated `times` times or forever, and `tail`.
    pub fn filled(head: Bytes, block: Bytes, times: Option<u64>, tail: Bytes) -> Self {
        let steps = [
            Step::Bytes(head),
            Step::Repeat(block, times),
            Step::Bytes(tail),
        ];
        Content {
            length: None,
            steps: steps.into(),
        }
    }

    /// Returns all bytes, sent at this rate per second.
    pub fn drip(mut bytes: Bytes, bytes_per_second: u64) -> Self {
        let length = bytes.len() as u64;
        let piece = (bytes_per_second / DRIPS_A_SECOND).clamp(1, length.max(1));
        let pause = Duration::from_secs_f64(piece as f64 / bytes_per_second as f64);
        let mut steps = VecDeque::new();
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(piece as usize));
            steps.extend([Step::Wait(pause), Step::Bytes(piece)]);
        }
        Content {
            length: Some(length),
            steps,
        }
    }
}

pub fn first_half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// A body that says how far it has come.
pub struct BodySending {
    steps: VecDeque<Step>,
    /// Remaining bytes; `None` if unknown.
    rest: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
    underway: Underway,
    /// Ends a long body when the sandbox stops.
    stopped: Option<Stopped>,
}

impl BodySending {
    pub fn new(content: Content, underway: Underway, stop: &StopSignal) -> Self {
        if content.steps.is_empty() {
            underway.done();
        }
        BodySending {
            stopped: (content.steps.len() > 1).then(|| stop.stopped()),
            steps: content.steps,
            rest: content.length,
            pause: None,
            underway,
        }
    }

    fn send(&mut self, bytes: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.rest = self
            .rest
            .map(|rest| rest.saturating_sub(bytes.len() as u64));
        self.underway.sent(bytes.len());
        if self.steps.is_empty() {
            self.underway.done();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    /// True while a pause is not over.
    fn pauses(&mut self, cx: &mut Context) -> bool {
        let Some(pause) = &mut self.pause else {
            return false;
        };
        let passed = pause.as_mut().poll(cx).is_ready();
        if passed {
            self.pause = None;
        }
        !passed
    }
}

impl HttpBody for BodySending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(stopped) = &mut this.stopped
            && stopped.as_mut().poll(cx).is_ready()
        {
            return broken();
        }
        loop {
            if this.pauses(cx) {
                return Poll::Pending;
            }
            match this.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Bytes(bytes)) => return this.send(bytes),
                Some(Step::Repeat(_, Some(0))) => {}
                Some(Step::Repeat(bytes, times)) => {
                    let rest = times.map(|times| times - 1);
                    this.steps.push_front(Step::Repeat(bytes.clone(), rest));
                    return this.send(bytes);
                }
                Some(Step::Wait(pause)) => this.pause = Some(Box::pin(sleep(pause))),
                Some(Step::Flush) => {
                    // A pending body makes the server flush the bytes that it holds.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Hang) => {
                    this.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                Some(Step::Break) => return broken(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.rest
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn broken() -> Poll<Option<io::Result<Frame<Bytes>>>> {
    Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
}
