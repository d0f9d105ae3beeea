//! The little of DER that keys need: one element after another, with definite and minimal lengths.
//!
//! Not an ASN.1 library. What is borrowed is never longer than what came in, and nothing is allocated.

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;

/// The contents of the element with `tag` at the front of `input`, which moves behind it. None if it is not there whole.
pub(crate) fn take<'a>(tag: u8, input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&found, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let len = if first < 0x80 {
        usize::from(first)
    } else {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        rest = after;
        // Keys are under 64 KiB; a longer form than needed is not DER.
        match *bytes {
            [a] if a >= 0x80 => usize::from(a),
            [a, b] if a > 0 => usize::from(u16::from_be_bytes([a, b])),
            _ => return None,
        }
    };
    let (contents, rest) = rest.split_at_checked(len)?;
    *input = rest;
    (found == tag).then_some(contents)
}

/// The contents of the one element that `input` is.
pub(crate) fn only(tag: u8, mut input: &[u8]) -> Option<&[u8]> {
    let contents = take(tag, &mut input)?;
    input.is_empty().then_some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_has_its_shortest_length_and_nothing_behind_it() {
        let long = [&[SEQUENCE, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(only(SEQUENCE, &long), Some(&[7; 0x80][..]));
        let longer = [&[SEQUENCE, 0x82, 0x01, 0x00][..], &[7; 0x100]].concat();
        assert_eq!(only(SEQUENCE, &longer), Some(&[7; 0x100][..]));
        assert_eq!(only(INTEGER, &[INTEGER, 0]), Some(&[][..]));
        for bad in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 1],
            &[SEQUENCE, 0x80],
            &[SEQUENCE, 0x81, 1, 0],
            &[SEQUENCE, 0x82, 0, 1, 0],
            &[SEQUENCE, 0x83, 0, 0, 1, 0],
            &[SEQUENCE, 0xff],
            &[INTEGER, 0],
            &[SEQUENCE, 0, 0],
        ] {
            assert_eq!(only(SEQUENCE, bad), None, "{bad:02x?}");
        }
    }
}
