//! A process and its two pipes, as seen by whoever started it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::wire::{self, Malformed, Reply, Request};

/// A process that decodes. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// It did not answer; the process is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum PipeError {
    /// It ended, or a pipe broke.
    #[error("it ended: {0}")]
    Ended(String),
    /// It is too late for an answer.
    #[error("no answer in {0:?}")]
    Late(Duration),
    /// What it answers cannot be read.
    #[error("a malformed answer")]
    Malformed(#[from] Malformed),
    /// The frame is longer than a message may be.
    #[error("too long a request")]
    TooLong,
}

impl Child {
    /// Starts it, in a process group of its own so that a terminal's Ctrl-C does not
    /// reach it before the server has ended its streams.
    pub(super) fn start(path: &Path, arguments: &[OsString]) -> io::Result<Self> {
        let mut process = Command::new(path)
            .arg0("sluice")
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What a stranger's picture makes a library say is not for our log.
            .stderr(Stdio::null())
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (input, output) = pipes.ok_or(ErrorKind::BrokenPipe)?;
        let child = Self { process, input, output };
        no_wait(child.input.as_fd())?;
        no_wait(child.output.as_fd())?;
        Ok(child)
    }

    /// Asks and waits for the answer, so long at most.
    pub(super) fn ask(&mut self, request: &Request, patience: Duration) -> Result<Reply, PipeError> {
        let message = request.encode();
        if message.len() > wire::MAX_MESSAGE {
            return Err(PipeError::TooLong);
        }
        let deadline = Instant::now() + patience;
        let answered = self.send(&message, deadline).and_then(|()| self.receive(deadline));
        let body = answered.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => PipeError::Late(patience),
            ErrorKind::InvalidData => Malformed.into(),
            _ => PipeError::Ended(self.ending(&error)),
        })?;
        Ok(Reply::decode(body)?)
    }

    fn send(&mut self, mut message: &[u8], deadline: Instant) -> io::Result<()> {
        while !message.is_empty() {
            match self.input.write(message) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => message = &message[count..],
                Err(error) if is_later(&error) => wait(self.input.as_fd(), PollFlags::OUT, deadline)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Bytes> {
        let mut head = [0; 4];
        self.fill(&mut head, deadline)?;
        let length = wire::length(head).map_err(|Malformed| ErrorKind::InvalidData)?;
        let mut body = vec![0; length];
        self.fill(&mut body, deadline)?;
        Ok(body.into())
    }

    fn fill(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.output.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if is_later(&error) => wait(self.output.as_fd(), PollFlags::IN, deadline)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How it ended, if it has.
    fn ending(&mut self, error: &io::Error) -> String {
        // Its pipes close a moment before it can be waited for.
        let _gone = self.process.kill();
        self.process.wait().map_or_else(|_| error.to_string(), |status| status.to_string())
    }

    /// Its process id.
    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn no_wait(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn wait(pipe: BorrowedFd<'_>, what: PollFlags, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    let timeout = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
    match poll(&mut [PollFd::from_borrowed_fd(pipe, what)], Some(&timeout)) {
        Ok(0) => Err(ErrorKind::TimedOut.into()),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
