use super::*;

#[test]
fn a_packet_has_its_length_in_front() {
    let packet = Packet::new(STAT).u32(7).bytes(b"/a").done();
    assert_eq!(
        packet,
        [0, 0, 0, 11, STAT, 0, 0, 0, 7, 0, 0, 0, 2, b'/', b'a']
    );
}

#[test]
fn attributes_are_read_whatever_a_server_adds() {
    let packet = Packet::new(0)
        .u32(SIZE | OWNER | PERMISSIONS | TIMES | MORE)
        .u64(5)
        .u64(0)
        .u32(0o040_700)
        .u32(1)
        .u32(2)
        .u32(1)
        .bytes(b"more")
        .bytes(b"of it")
        .u32(99)
        .done();
    let mut answer = Answer(&packet[5..]);
    let attributes = answer.attributes().unwrap();
    assert_eq!((attributes.size, attributes.mtime), (5, Some(2)));
    assert!(attributes.is_folder());
    assert_eq!(answer.u32().unwrap(), 99);
}

#[test]
fn an_answer_that_ends_early_is_an_error() {
    for length in 0..8 {
        let bytes = [0, 0, 0, 4, 1, 2, 3, 4];
        let read = Answer(&bytes[..length]).bytes().map(<[u8]>::len);
        assert_eq!(read.ok(), (length == 8).then_some(4));
    }
}
