//! Attackers. Each attack is one attempt, with an end of its own; whatever Dormouse answers is right.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_testkit::{Client, Created, Dice, Reply};
use dormouse_wire::command::Command;

use crate::{World, connect, log_in};

type Attack = fn(&World, &Created, &mut Dice);

pub(crate) const ATTACKS: [(&str, Attack); 16] = [
    ("bad_password", bad_password),
    ("bad_password_by_tls", bad_password_by_tls),
    ("unknown_database", unknown_database),
    ("garbage", garbage),
    ("half_a_login", half_a_login),
    ("silent_crowd", silent_crowd),
    ("slow_bytes", slow_bytes),
    ("tls_stall", tls_stall),
    ("declared_statement", declared_statement),
    ("never_reads", never_reads),
    ("endless_long_data", endless_long_data),
    ("cut_in_a_statement", cut_in_a_statement),
    ("reset_in_a_result", reset_in_a_result),
    ("many_prepared_statements", many_prepared_statements),
    ("compressed_bomb", compressed_bomb),
    ("change_of_user", change_of_user),
];

fn bad_password(world: &World, who: &Created, _: &mut Dice) {
    let mut client = Client::tcp(&world.address);
    let _ = client.login_packet(&who.user, "wrong", None);
    let reply = client.login(&who.user, "wrong", None);
    assert!(matches!(reply, Reply::Err(_)), "{reply:?}");
}

fn bad_password_by_tls(world: &World, who: &Created, _: &mut Dice) {
    let reply = Client::tls(&world.address).login_mysql(&who.user, "wrong");
    assert!(matches!(reply, Reply::Err(_)), "{reply:?}");
}

fn unknown_database(world: &World, _: &Created, dice: &mut Dice) {
    let user = format!("nowhere{}.admin", dice.below(1 << 40));
    let reply = Client::tcp(&world.address).login(&user, "wrong", None);
    assert!(matches!(reply, Reply::Err(_)), "{reply:?}");
}

/// Reads until the peer closes.
fn drain(mut stream: TcpStream) {
    let mut room = [0; 4096];
    while stream.read(&mut room).is_ok_and(|n| n > 0) {}
}

fn garbage(world: &World, _: &Created, dice: &mut Dice) {
    let Some(mut stream) = connect(world) else {
        return;
    };
    let len = dice.index(2000) + 1;
    let bytes: Vec<u8> = (0..len)
        .map(|_| u8::try_from(dice.below(256)).unwrap())
        .collect();
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    drain(stream);
}

fn half_a_login(world: &World, who: &Created, dice: &mut Dice) {
    let mut client = Client::tcp(&world.address);
    let login = client.login_packet(&who.user, &who.password, None);
    let len = u32::try_from(login.len()).unwrap().to_le_bytes();
    let packet = [&len[..3], &[1], &login[..]].concat();
    let _ = client.send_raw(&packet[..dice.index(packet.len() - 1) + 1]);
    if dice.below(2) == 0 {
        client.reset_on_close();
    }
}

fn silent_crowd(world: &World, _: &Created, _: &mut Dice) {
    let crowd: Vec<_> = (0..200).filter_map(|_| connect(world)).collect();
    crowd.into_iter().for_each(drain);
}

fn slow_bytes(world: &World, who: &Created, _: &mut Dice) {
    let mut client = Client::tcp(&world.address);
    let login = client.login_packet(&who.user, &who.password, None);
    for byte in login {
        if client.send_raw(&[byte]).is_err() || !world.goes_on() {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn tls_stall(world: &World, _: &Created, _: &mut Dice) {
    let Some(mut stream) = connect(world) else {
        return;
    };
    let mut request = vec![32, 0, 0, 1];
    request.extend_from_slice(&0x00af_aa00_u32.to_le_bytes());
    request.extend_from_slice(&[0, 0, 0, 1, 45]);
    request.extend_from_slice(&[0; 23]);
    // the beginning of a ClientHello
    request.extend_from_slice(&[0x16, 3, 1, 2, 0, 1]);
    let _ = stream.write_all(&request);
    drain(stream);
}

fn declared_statement(world: &World, who: &Created, dice: &mut Dice) {
    let mut client = log_in(world, who);
    let _ = client.send_raw(&[0xff, 0xff, 0xff, 0, 3]);
    let _ = client.send_raw(&vec![b'x'; dice.index(1 << 20)]);
    if dice.below(2) == 0 {
        // until Dormouse gives up
        let _ = client.receive();
    }
}

fn never_reads(world: &World, who: &Created, _: &mut Dice) {
    let mut client = log_in(world, who);
    let text = b"\x03SELECT REPEAT('x', 1000) FROM seq_1_to_100000";
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    let _ = client.send_raw(&[&len[..3], &[0], &text[..]].concat());
    // Dormouse ends it at its write timeout
    let _ended = client.is_cut_within(Duration::from_secs(20));
}

fn endless_long_data(world: &World, who: &Created, _: &mut Dice) {
    let mut client = log_in(world, who);
    let id = client.prepare("SELECT LENGTH(?)");
    let data = [&id.to_le_bytes()[..], &[0, 0], &[b'x'; 100_000]].concat();
    for _ in 0..200 {
        let mut packet = vec![Command::StmtSendLongData as u8];
        packet.extend_from_slice(&data);
        let len = u32::try_from(packet.len()).unwrap().to_le_bytes();
        if client
            .send_raw(&[&len[..3], &[0], &packet[..]].concat())
            .is_err()
        {
            return;
        }
    }
}

fn cut_in_a_statement(world: &World, who: &Created, dice: &mut Dice) {
    let mut client = log_in(world, who);
    let text = b"\x03INSERT INTO app.log VALUES (-1, 1)";
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    let packet = [&len[..3], &[0], &text[..]].concat();
    let _ = client.send_raw(&packet[..dice.index(packet.len() - 1) + 1]);
    client.reset_on_close();
}

fn reset_in_a_result(world: &World, who: &Created, dice: &mut Dice) {
    let mut client = log_in(world, who);
    let text = b"\x03SELECT REPEAT('x', 1000) FROM seq_1_to_10000";
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    let _ = client.send_raw(&[&len[..3], &[0], &text[..]].concat());
    let mut room = vec![0; dice.index(1 << 16) + 1];
    let _ = client.read(&mut room);
    client.reset_on_close();
}

fn many_prepared_statements(world: &World, who: &Created, _: &mut Dice) {
    let mut client = log_in(world, who);
    for n in 0..500 {
        if !matches!(
            client.try_query(&format!("PREPARE s{n} FROM 'SELECT {n}'")),
            Ok(Reply::Ok(_))
        ) {
            return;
        }
    }
}

fn compressed_bomb(world: &World, who: &Created, _: &mut Dice) {
    use dormouse_wire::caps::Capabilities;
    let mut client = Client::tcp(&world.address);
    client.capabilities |= Capabilities::COMPRESS;
    if !matches!(client.login(&who.user, &who.password, None), Reply::Ok(_)) {
        return;
    }
    client.compress();
    // 16 MiB of one byte in some 16 KiB
    let mut packets = vec![0xff, 0xff, 0xff, 0, 3];
    packets.resize(4 + 0xff_ffff, b'x');
    let packed = client.packed(&packets);
    let _ = client.send_packed(&packed);
}

fn change_of_user(world: &World, who: &Created, dice: &mut Dice) {
    let mut client = log_in(world, who);
    let user = format!("db{}.admin", dice.below(4));
    let packet = [
        user.as_bytes(),
        b"\0\x14",
        &[7; 20],
        b"\0\x2d\0mysql_native_password\0",
    ]
    .concat();
    client.command(Command::ChangeUser, &packet);
    let _ = client.receive();
}
