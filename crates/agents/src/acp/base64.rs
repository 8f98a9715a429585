//! Bytes as the letters that the protocol wants them in. Pure.

/// Standard base64 with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let (a, b, c) = (chunk[0], chunk.get(1).copied(), chunk.get(2).copied());
        let sextets = [
            Some(a >> 2),
            Some((a & 3) << 4 | b.unwrap_or(0) >> 4),
            b.map(|b| (b & 15) << 2 | c.unwrap_or(0) >> 6),
            c.map(|c| c & 63),
        ];
        text.extend(sextets.map(|sextet| sextet.map_or('=', |at| char::from(LETTERS[usize::from(at)]))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_says() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(encode(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
