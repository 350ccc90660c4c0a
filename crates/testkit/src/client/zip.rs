//! Client side of the compressed protocol, over any stream.

use std::io::{self, Read, Write};
use std::time::Duration;

use dormouse_wire::compress::{HEADER, Packer, Unpacker};

use super::stream::Stream;

/// Compresses each write as a command of its own, and decompresses reads.
pub(super) struct Zip {
    inner: Box<dyn Stream>,
    unpacker: Unpacker,
    /// Decompressed bytes that have not been read.
    bytes: Vec<u8>,
    at: usize,
}

impl Zip {
    pub(super) fn new(inner: Box<dyn Stream>) -> Self {
        Self {
            inner,
            unpacker: Unpacker::default(),
            bytes: Vec::new(),
            at: 0,
        }
    }

    /// Reads one compressed packet.
    fn more(&mut self) -> io::Result<()> {
        let mut header = [0; HEADER];
        self.inner.read_exact(&mut header)?;
        // other tests check the sequence numbers
        header[3] = 0;
        let len = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut packet = header.to_vec();
        packet.resize(HEADER + len, 0);
        self.inner.read_exact(&mut packet[HEADER..])?;
        self.bytes.clear();
        self.at = 0;
        let (mut at, mut room) = (0, vec![0; 1 << 16]);
        loop {
            let step = self
                .unpacker
                .unpack(&packet[at..], &mut room)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            at += step.consumed;
            self.bytes.extend_from_slice(&room[..step.produced]);
            if step.consumed + step.produced == 0 {
                return Ok(());
            }
        }
    }
}

impl Read for Zip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.bytes.len() {
            self.more()?;
        }
        let n = out.len().min(self.bytes.len() - self.at);
        out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Write for Zip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let packed = self.packed(bytes);
        self.inner.write_all(&packed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Stream for Zip {
    fn finish_sending(&self) -> io::Result<()> {
        self.inner.finish_sending()
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.inner.reset_on_close()
    }

    fn is_cut_within(&self, time: Duration) -> bool {
        self.inner.is_cut_within(time)
    }

    fn packed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut packer, mut out, mut at) = (Packer::default(), Vec::new(), 0);
        let mut seq = 0_u8;
        while at < bytes.len() {
            at += packer.pack(seq, &bytes[at..], &mut out);
            seq = seq.wrapping_add(1);
        }
        out
    }

    fn write_packed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)
    }
}
