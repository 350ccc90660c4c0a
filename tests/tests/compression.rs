//! The compressed protocol, byte by byte; tests/clients has real clients with compression.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{Read, Write};
use std::net::TcpStream;

use dormouse_testkit::{Client, Created, Dormouse};
use dormouse_wire::auth::native;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::compress::{HEADER, Packer, Unpacker};
use dormouse_wire::greeting::Greeting;
use dormouse_wire::login::Login;
use dormouse_wire::packet::{PacketBuffer, write_packet};
use dormouse_wire::reply::ErrPacket;

/// A client that has logged in with `CLIENT_COMPRESS`.
struct Zipped {
    stream: TcpStream,
    unpacker: Unpacker,
    packets: PacketBuffer,
    /// Sequence numbers of the compressed packets received since the last command.
    numbers: Vec<u8>,
}

impl Zipped {
    fn log_in(dormouse: &Dormouse, who: &Created) -> Self {
        let stream = TcpStream::connect(dormouse.address()).unwrap();
        stream
            .set_read_timeout(Some(std::time::Duration::from_secs(60)))
            .unwrap();
        let mut client = Self {
            stream,
            unpacker: Unpacker::default(),
            packets: PacketBuffer::new(1 << 30),
            numbers: Vec::new(),
        };
        let greeting = Greeting::parse(&client.plain()).unwrap();
        assert!(greeting.capabilities.contains(Capabilities::COMPRESS));
        let login = Login {
            capabilities: Client::plain_capabilities() | Capabilities::COMPRESS,
            max_packet: 1 << 30,
            collation: 45,
            user: who.user.as_bytes().to_vec(),
            auth: native::reply(&native::stage1(who.password.as_bytes()), &greeting.salt).to_vec(),
            schema: None,
            plugin: Some("mysql_native_password".to_owned()),
            attributes: Vec::new(),
        };
        let mut packet = Vec::new();
        write_packet(&mut packet, 1, &login.encode());
        client.stream.write_all(&packet).unwrap();
        assert_eq!(client.plain()[0], 0, "an OK that is not compressed");
        client
    }

    /// Receives an uncompressed packet, as before the end of the login.
    fn plain(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).unwrap();
        let [a, b, c, _] = header;
        let mut payload = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }

    fn send(&mut self, packets: &[u8]) {
        let (mut packer, mut out, mut at, mut seq) = (Packer::default(), Vec::new(), 0, 0);
        while at < packets.len() {
            at += packer.pack(seq, &packets[at..], &mut out);
            seq += 1;
        }
        self.stream.write_all(&out).unwrap();
    }

    /// Receives one packet from inside the compressed ones.
    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some((_, payload)) = self.packets.next().unwrap() {
                return Ok(payload);
            }
            let mut header = [0; HEADER];
            self.stream.read_exact(&mut header)?;
            self.numbers.push(header[3]);
            // the test checks the sequence numbers itself
            header[3] = 0;
            let mut packed =
                vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
            self.stream.read_exact(&mut packed)?;
            let packed = [&header[..], &packed].concat();
            let (mut at, mut room) = (0, vec![0; 1 << 16]);
            loop {
                let step = self.unpacker.unpack(&packed[at..], &mut room).unwrap();
                at += step.consumed;
                self.packets.push(&room[..step.produced]);
                if step.consumed + step.produced == 0 {
                    break;
                }
            }
        }
    }
}

fn query(text: &str) -> Vec<u8> {
    let mut packets = Vec::new();
    write_packet(&mut packets, 0, &[b"\x03", text.as_bytes()].concat());
    packets
}

fn awake() -> (Dormouse, Created) {
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
    let who = dormouse.create("shop", &[]);
    (dormouse, who)
}

#[test]
fn pipelined_commands_are_answered_in_order_each_with_its_own_sequence_numbers() {
    let (dormouse, who) = awake();
    let mut client = Zipped::log_in(&dormouse, &who);
    let _ = dormouse.json(&["park", "shop"]);
    let mut ahead = Vec::new();
    for text in ["DO 1", "SELECT REPEAT('a', 300000)", "DO 2"] {
        let mut packer = Packer::default();
        packer.pack(0, &query(text), &mut ahead);
    }
    client.stream.write_all(&ahead).unwrap();
    assert_eq!(client.receive().unwrap()[0], 0);
    assert_eq!(std::mem::take(&mut client.numbers), [1]);
    let row = (0..4)
        .map(|_| client.receive().unwrap())
        .max_by_key(Vec::len);
    assert_eq!(row.unwrap().len(), 300_000 + 4);
    let numbers = std::mem::take(&mut client.numbers);
    assert!(
        numbers
            .iter()
            .copied()
            .eq(1..=u8::try_from(numbers.len()).unwrap()),
        "{numbers:?}"
    );
    assert_eq!(client.receive().unwrap()[0], 0);
    assert_eq!(client.numbers, [1]);
}

#[test]
fn payloads_of_more_than_16_mib_work_in_both_directions() {
    const LONG: usize = 20 << 20;
    let (dormouse, who) = awake();
    let mut client = Zipped::log_in(&dormouse, &who);
    client.send(&query("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024"));
    assert_eq!(client.receive().unwrap()[0], 0);
    let mut client = Zipped::log_in(&dormouse, &who);
    client.send(&query(&format!("SELECT '{}'", "y".repeat(LONG))));
    let payloads: Vec<_> = (0..4).map(|_| client.receive().unwrap()).collect();
    let longest = payloads.iter().map(Vec::len).max();
    assert_eq!(longest, Some(LONG + 9), "{:?}", payloads[0].get(..60));
}

#[test]
fn a_corrupt_compressed_packet_gets_an_error_and_ends_the_session() {
    let (dormouse, who) = awake();
    for (bytes, code) in [
        (&b"\x04\0\0\x07\0\0\0\0\0\0\0"[..], 1156),
        (b"\x02\0\0\0\x40\0\0\xff\xff", 1157),
    ] {
        let mut client = Zipped::log_in(&dormouse, &who);
        client.stream.write_all(bytes).unwrap();
        let error = ErrPacket::parse(&client.receive().unwrap()).unwrap();
        assert_eq!(error.code, code, "{}", error.message);
        assert!(client.receive().is_err(), "the session is still open");
    }
}
