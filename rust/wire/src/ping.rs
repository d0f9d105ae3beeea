//! ping: 32 bytes that come back, over and over on one stream (`/ipfs/ping/1.0.0`).
//!
//! [`Echo`] is the side that answers; the side that asks compares with [`is_answer`]. A Kubo node pings its peers to
//! judge how long a bitswap answer may take, so answers must not wait.
//! Spec: <https://github.com/libp2p/specs/blob/master/ping/ping.md>.

/// The protocol's id.
pub const PROTOCOL: &str = "/ipfs/ping/1.0.0";
/// Bytes of one ping.
pub const PING_BYTES: usize = 32;

/// Answers the pings of one stream.
#[derive(Debug, Default)]
pub struct Echo {
    /// A ping that is not whole.
    part: Vec<u8>,
}

impl Echo {
    /// Takes bytes of the stream and appends the answers to `out`. At most one ping's bytes are kept.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let total = self.part.len() + bytes.len();
        let whole = total - total % PING_BYTES;
        match whole.checked_sub(self.part.len()).and_then(|cut| bytes.split_at_checked(cut)) {
            Some((answered, rest)) if whole > 0 => {
                out.append(&mut self.part);
                out.extend_from_slice(answered);
                self.part.extend_from_slice(rest);
            }
            _ => self.part.extend_from_slice(bytes),
        }
    }
}

/// What a ping that was sent got: None while bytes are missing, then whether they are its own.
#[must_use]
pub fn is_answer(sent: &[u8; PING_BYTES], received: &[u8]) -> Option<bool> {
    if sent.starts_with(received) && received.len() < PING_BYTES { None } else { Some(sent == received) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_come_back_whole_wherever_the_stream_is_cut() {
        let stream: Vec<u8> = (0..100).collect();
        for step in 1..=100 {
            let (mut echo, mut out) = (Echo::default(), Vec::new());
            for piece in stream.chunks(step) {
                echo.receive(piece, &mut out);
                assert_eq!(out.len() % PING_BYTES, 0);
            }
            assert_eq!(out, stream[..96], "step {step}");
        }
    }

    #[test]
    fn an_answer_is_the_ping_and_nothing_else() {
        let sent = [7; PING_BYTES];
        assert_eq!(is_answer(&sent, &[]), None);
        assert_eq!(is_answer(&sent, &[7; 31]), None);
        assert_eq!(is_answer(&sent, &[7; 32]), Some(true));
        assert_eq!(is_answer(&sent, &[7; 33]), Some(false));
        assert_eq!(is_answer(&sent, &[8]), Some(false));
    }
}
