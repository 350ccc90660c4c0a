//! What a program writes, until a deadline.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A pipe that is read until a deadline.
#[derive(Debug)]
pub(crate) struct Until<R> {
    pipe: R,
    deadline: Instant,
}

impl<R> Until<R> {
    pub(crate) fn new(pipe: R, deadline: Instant) -> Self {
        Self { pipe, deadline }
    }
}

impl<R: Read + AsFd> Read for Until<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut pipes = [PollFd::new(&self.pipe, PollFlags::IN)];
        // an interrupted wait is repeated by the caller, as an interrupted read
        match poll(&mut pipes, Some(&left))? {
            0 => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "there was no answer in time",
            )),
            _ => self.pipe.read(buffer),
        }
    }
}
