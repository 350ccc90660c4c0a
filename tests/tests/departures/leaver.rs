//! A client that disconnects.

use std::time::Duration;

use dormouse_testkit::{Client, Created, Dice, Dormouse};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::framer::{Event, ReplyFramer};

use crate::scene::Scene;
use crate::{ask, tag};

/// How it disconnects.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Closes,
    Resets,
    /// Shuts down its sending direction and reads the rest.
    HalfCloses,
    /// Stays connected and neither reads nor writes until Dormouse closes the connection.
    Stalls,
}

fn connect(dice: &mut Dice, dormouse: &Dormouse, who: &Created) -> (&'static str, Client) {
    let more = Capabilities::MULTI_STATEMENTS | Capabilities::MULTI_RESULTS;
    let compressed = Capabilities::COMPRESS;
    let (over, mut client, capabilities) = match dice.below(8) {
        0 => ("TLS", Client::tls(dormouse.address()), Capabilities::SSL),
        1 => ("zlib", Client::tcp(dormouse.address()), compressed),
        2..5 => (
            "socket",
            Client::unix(dormouse.socket()),
            Capabilities::NONE,
        ),
        _ => ("TCP", Client::tcp(dormouse.address()), Capabilities::NONE),
    };
    client.capabilities = Client::plain_capabilities() | more | capabilities;
    if dice.below(3) == 0 {
        client.capabilities = client.capabilities.set(Capabilities::DEPRECATE_EOF, false);
    }
    client.login(&who.user, &who.password, Some("d")).ok();
    if capabilities == compressed {
        client.compress();
    }
    (over, client)
}

/// Connects, runs a query, and disconnects in the middle of another command. Returns where and how.
pub(crate) fn leave(dormouse: &Dormouse, who: &Created, seed: u64, id: u64) -> [String; 2] {
    let mut dice = Dice::new((seed << 40) ^ id);
    let tag = tag(id);
    let (over, mut client) = connect(&mut dice, dormouse, who);
    ask(&mut client, &tag);
    let scene = Scene::set(&mut dice, &mut client, &tag);
    let manner = match dice.below(40) {
        0 => Manner::Stalls,
        1..5 => Manner::HalfCloses,
        5..12 => Manner::Resets,
        _ => Manner::Closes,
    };
    let packed = client.packed(&scene.packets);
    let place = match dice.below(3) {
        0 => {
            let part = dice.index(packed.len());
            // Dormouse may have closed the connection already
            let _ = client.send_packed(&packed[..part]);
            "in a command"
        }
        _ if client.send_packed(&packed).is_err() => "in a command",
        1 => "before a reply",
        _ if scene.file.is_empty() => {
            let magnitude = dice.below(18);
            let most = dice.index(1 << magnitude) + 1;
            read(&mut client, &scene, &tag, most);
            "in a reply"
        }
        _ => {
            // the request for the file: header and name
            client.receive().expect("it is asked for");
            let file = client.packed(&scene.file);
            let part = dice.index(file.len() + 1);
            let _ = client.send_packed(&file[..part]);
            "in a file"
        }
    };
    match manner {
        Manner::Closes => {}
        Manner::Resets => client.reset_on_close(),
        Manner::HalfCloses => {
            let _ = client.finish_sending();
            if place == "before a reply" {
                read(&mut client, &scene, &tag, usize::MAX);
            }
        }
        // a session that waits for the next command is not closed: no reply is outstanding
        Manner::Stalls => {
            let _ = client.is_cut_within(Duration::from_millis(400));
        }
    }
    [
        format!("{:24} {place}", scene.name),
        format!("{:24} {manner:?}", over),
    ]
}

/// Reads up to `most` bytes of a reply; every tag in it must be its own.
fn read(client: &mut Client, scene: &Scene, tag: &str, most: usize) {
    if scene.kind == dormouse_wire::command::ReplyKind::None {
        return;
    }
    let mut framer = ReplyFramer::new(scene.kind, client.capabilities);
    let mut all = Vec::new();
    let mut room = vec![0; 8 << 10];
    while all.len() < most {
        let wanted = room.len().min(most - all.len());
        // the connection may have been closed
        let Ok(n @ 1..) = client.read(&mut room[..wanted]) else {
            break;
        };
        all.extend_from_slice(&room[..n]);
        match framer.feed(&room[..n]).expect("a reply").event {
            Event::More => {}
            Event::End(_) | Event::LocalInfile => break,
        }
    }
    if scene.names_others {
        return;
    }
    for found in all.windows(tag.len()).filter(|bytes| is_tag(bytes)) {
        let told = String::from_utf8_lossy(found);
        assert_eq!(told, tag, "{} was told another's", scene.name);
    }
}

fn is_tag(bytes: &[u8]) -> bool {
    matches!(bytes, [b'<', digits @ .., b'>'] if digits.iter().all(u8::is_ascii_digit))
}
