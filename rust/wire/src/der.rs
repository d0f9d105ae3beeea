//! The little of DER that keys and certificates need: one element after another, with definite and minimal lengths.
//!
//! Not an ASN.1 library. What is read is borrowed and never longer than what came in; only what is written is allocated.

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

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

/// The element with `tag` at the front of `input` as it stands there, and its contents.
pub(crate) fn take_whole<'a>(tag: u8, input: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let before = *input;
    let contents = take(tag, input)?;
    Some((before.get(..before.len().checked_sub(input.len())?)?, contents))
}

/// The contents of the element at the front, if it has `tag`: an optional one.
pub(crate) fn take_if<'a>(tag: u8, input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    if input.first() == Some(&tag) { take(tag, input).map(Some) } else { Some(None) }
}

/// An element of `parts` one after the other. Of this program's own making: shorter than 64 KiB.
pub(crate) fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    debug_assert!(length <= usize::from(u16::MAX));
    let [.., high, low] = length.to_be_bytes();
    let mut out = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
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
    fn what_is_written_is_read() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let contents = vec![7; length];
            let written = write(OCTET_STRING, &[&contents, b"", b""]);
            assert_eq!(only(OCTET_STRING, &written), Some(&contents[..]), "{length} bytes");
            let mut input = &[&written[..], b"behind"].concat()[..];
            assert_eq!(take_if(SEQUENCE, &mut input), Some(None));
            assert_eq!(take_whole(OCTET_STRING, &mut input), Some((&written[..], &contents[..])));
            assert_eq!(input, b"behind");
        }
    }

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
