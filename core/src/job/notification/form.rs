//! `application/x-www-form-urlencoded`, one value.

/// `+` is a space, `%XX` a byte, everything else itself. `None` for a `%` without two digits, and where the bytes are not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn what_aws_and_minio_write_is_what_was_meant() {
        for (encoded, meant) in [
            ("red+flower.jpg", "red flower.jpg"),
            ("users%2Fred+flower.jpg", "users/red flower.jpg"),
            ("users/a%2Bb%25.jpg", "users/a+b%.jpg"),
            ("%C3%A9%f0%9f%98%80", "é😀"),
            ("é", "é"),
            ("", ""),
        ] {
            assert_eq!(decoded(encoded).as_deref(), Some(meant));
        }
        for wrong in ["%", "a%2", "%zz", "%+1", "%ff", "%C3", "%é"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
