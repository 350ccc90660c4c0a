use super::*;

fn told(from: &str, to: &str) -> Told {
    Told::Addresses {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

/// A header of version 2.
fn two(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

const V4: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 0x0c, 0xea];

/// Reads as a connection does: only bytes that are asked for.
fn read(mut stream: &[u8]) -> Result<(Told, usize), Malformed> {
    let (mut bytes, all) = (Vec::new(), stream.len());
    loop {
        match parse(&bytes)? {
            Header::Complete(told) => return Ok((told, all - stream.len())),
            Header::Needs(n) => {
                let (taken, rest) = stream.split_at_checked(n).ok_or(Malformed("the end"))?;
                bytes.extend_from_slice(taken);
                stream = rest;
            }
        }
    }
}

#[test]
fn headers_are_read_and_nothing_behind_them() {
    let mut with_extension = V4.to_vec();
    with_extension.extend([4, 0, 1, 7]);
    let mut v6 = vec![0; 15];
    v6.push(1);
    v6.extend([0; 15]);
    v6.extend([2, 0, 5, 0, 6]);
    let four = told("10.0.0.1:8080", "10.0.0.2:3306");
    for (header, expected) in [
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 8080 3306\r\n".to_vec(), four),
        (
            b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n".to_vec(),
            told("[2001:db8::1]:65535", "[::1]:0"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Told::Nothing),
        (
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
            Told::Nothing,
        ),
        (two(0x21, 0x11, &V4), four),
        (two(0x21, 0x11, &with_extension), four),
        (two(0x21, 0x21, &v6), told("[::1]:5", "[::2]:6")),
        (two(0x20, 0x00, &[]), Told::Nothing),
        (two(0x20, 0x11, &V4), Told::Nothing),
        (two(0x21, 0x00, &[]), Told::Nothing),
        // the paths of Unix sockets do not make a client local
        (two(0x21, 0x31, &[0; 216]), Told::Nothing),
        (two(0x20, 0x00, &[0; LONGEST - FIXED]), Told::Nothing),
    ] {
        let mut stream = header.clone();
        stream.extend(b"what follows");
        assert_eq!(read(&stream), Ok((expected, header.len())), "{header:?}");
        for n in 0..header.len() {
            assert!(read(&header[..n]).is_err(), "{n} of {header:?}");
        }
    }
}

#[test]
fn whatever_is_not_a_header_is_refused() {
    let endless = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
    for bytes in [
        &b"\x4a\0\0\x01login"[..],
        b"GET / HTTP/1.1\r\n",
        b"proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n",
        b"PROXY TCP4 10.0.0.1  10.0.0.2 1 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 +1 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n",
        b"PROXY TCP4 10.0.0 10.0.0.2 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n",
        b"PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 \xff 2\r\n",
        b"PROXY \r\n.........",
        endless.as_bytes(),
        &two(0x22, 0x11, &V4),
        &two(0x11, 0x11, &V4),
        &two(0x21, 0x12, &V4),
        &two(0x21, 0x11, &V4[..11]),
        &two(0x21, 0x21, &V4),
        &two(0x20, 0, &[0; LONGEST - FIXED + 1]),
    ] {
        assert!(read(bytes).is_err(), "{bytes:?}");
    }
    assert!(parse(b"PROXY UNKNOWN\r\nmore").is_err());
    assert!(parse(&[two(0x20, 0, &[]), vec![0]].concat()).is_err());
}
