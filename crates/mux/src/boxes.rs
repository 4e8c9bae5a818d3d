//! Writing boxes (ISO/IEC 14496-12 §4.2).

/// A buffer to which boxes are appended.
#[derive(Debug, Default)]
pub(crate) struct Boxes {
    buf: Vec<u8>,
}

impl Boxes {
    /// A buffer that will not grow before it holds `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { buf: Vec::with_capacity(capacity) }
    }

    /// A box of this kind around what `body` writes. Our boxes are a few
    /// kilobytes, and a media payload is bounded by the frame bus, so the 32-bit
    /// size always holds.
    pub(crate) fn boxed(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Self)) {
        let start = self.buf.len();
        self.u32(0);
        self.bytes(kind);
        body(self);
        self.patch_u32(start, size32(self.buf.len() - start));
    }

    /// A box with version and flags (§4.2.2).
    pub(crate) fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.boxed(kind, |b| {
            b.u32(u32::from(version) << 24 | flags & 0x00ff_ffff);
            body(b);
        });
    }

    pub(crate) fn u8(&mut self, v: u8) {
        self.buf.push(v);
    }

    pub(crate) fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, v: &[u8]) {
        self.buf.extend_from_slice(v);
    }

    pub(crate) fn zeros(&mut self, n: usize) {
        self.buf.resize(self.buf.len() + n, 0);
    }

    pub(crate) fn len(&self) -> usize {
        self.buf.len()
    }

    /// Overwrites the four bytes at `at`, which must have been written.
    pub(crate) fn patch_u32(&mut self, at: usize, v: u32) {
        self.buf[at..at + 4].copy_from_slice(&v.to_be_bytes());
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.buf
    }
}

/// A length as a 32-bit box field.
pub(crate) fn size32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
