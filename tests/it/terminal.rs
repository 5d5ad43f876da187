//! A terminal of a test's own: what a command draws there, and how the screen looks at each moment.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use vt100::{Parser, Screen};

/// A terminal with so many columns.
#[derive(Clone, Copy)]
pub struct Terminal {
    pub columns: u16,
    pub rows: u16,
}

/// Time in which a command draws something.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that is done once a text is on the screen.
pub enum Turn<'t> {
    Type(&'t str),
    Do(&'t dyn Fn(&Child)),
}

/// The screen after a command.
pub struct Drawn {
    terminal: Terminal,
    bytes: Vec<u8>,
    pub status: ExitStatus,
}

impl Terminal {
    pub fn with_columns(columns: u16) -> Self {
        Terminal { columns, rows: 24 }
    }

    /// Runs a command with stdout and stderr in the terminal.
    pub fn run(self, command: &mut Command) -> Drawn {
        self.draw(command, true)
    }

    /// Runs a command with stderr in the terminal. Its stdout goes nowhere.
    pub fn run_stderr(self, command: &mut Command) -> Drawn {
        self.draw(command, false)
    }

    fn draw(self, command: &mut Command, has_stdout: bool) -> Drawn {
        let (mut screen, side) = self.open();
        let stdout = if has_stdout {
            Stdio::from(side.try_clone().expect("one more descriptor"))
        } else {
            Stdio::null()
        };
        command.stdin(Stdio::null()).stdout(stdout).stderr(side);
        let mut child = command.spawn().expect("the binary starts");
        // The screen ends once nobody has the other side open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        // Linux ends it with an error.
        while let Ok(read @ 1..) = screen.read(&mut part) {
            bytes.extend(&part[..read]);
        }
        Drawn {
            terminal: self,
            bytes,
            status: child.wait().expect("an end"),
        }
    }

    /// Runs a command with stdin, stdout and stderr in the terminal. Takes each turn when its text has
    /// been drawn after that of the turn before. Then waits for the end of the command.
    pub fn talk(self, command: &mut Command, turns: &[(&str, Turn<'_>)]) -> Drawn {
        let (mut screen, side) = self.open();
        let again = || Stdio::from(side.try_clone().expect("one more descriptor"));
        command.stdin(again()).stdout(again()).stderr(again());
        let mut child = command.spawn().expect("the binary starts");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        drop(side);
        let (mut bytes, mut seen): (Vec<u8>, usize) = (Vec::new(), 0);
        let (sender, parts) = mpsc::channel();
        let mut drawn_by = screen.try_clone().expect("one more descriptor");
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = drawn_by.read(&mut part) {
                let _ = sender.send(part[..read].to_vec());
            }
        });
        let mut turns = turns.iter().peekable();
        loop {
            while let Some((text, turn)) = turns.peek() {
                let rest = String::from_utf8_lossy(&bytes[seen..]);
                let Some(at) = rest.find(text) else { break };
                seen += at + text.len();
                match turn {
                    Turn::Type(keys) => screen.write_all(keys.as_bytes()).expect("a reader"),
                    Turn::Do(act) => act(&child),
                }
                turns.next();
            }
            match parts.recv_timeout(PATIENCE) {
                Ok(part) => bytes.extend(part),
                Err(RecvTimeoutError::Timeout) => child.kill().expect("a child"),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait().expect("an end");
        if let Some((text, _)) = turns.next() {
            panic!("{text} is not in {}", String::from_utf8_lossy(&bytes));
        }
        Drawn {
            terminal: self,
            bytes,
            status,
        }
    }

    /// Opens a terminal: the side of the screen, and that of the command.
    fn open(self) -> (File, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let screen = openpt(flags).expect("a terminal");
        grantpt(&screen).expect("access to it");
        unlockpt(&screen).expect("access to it");
        let name = ptsname(&screen, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let side = rustix::fs::open(name, flags, Mode::empty()).expect("its other side");
        let size = Winsize {
            ws_row: self.rows,
            ws_col: self.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&side, size).expect("its size");
        (File::from(screen), side)
    }
}

impl Drawn {
    /// Looks at the screen after each byte. A screen that has scrolled fails the test.
    pub fn watch(&self, mut look: impl FnMut(&Screen)) {
        let Terminal { columns, rows } = self.terminal;
        let mut parser = Parser::new(rows, columns, 1_000);
        for byte in &self.bytes {
            parser.process(&[*byte]);
            look(parser.screen());
        }
        let mut screen = parser.screen().clone();
        screen.set_scrollback(usize::MAX);
        assert_eq!(screen.scrollback(), 0, "the screen scrolled");
    }

    /// Returns true if the command has drawn a text.
    pub fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.bytes).contains(text)
    }

    /// Returns the rows of the screen at the end, without empty ones below.
    pub fn last_rows(&self) -> Vec<String> {
        let mut last = Vec::new();
        let columns = self.terminal.columns;
        self.watch(|screen| last = screen.rows(0, columns).collect());
        last.iter_mut()
            .for_each(|row| row.truncate(row.trim_end().len()));
        while last.last().is_some_and(String::is_empty) {
            last.pop();
        }
        last
    }
}
