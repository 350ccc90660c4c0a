use super::*;

fn ready(listen: Option<&str>, databases: usize, warnings: &[&str]) -> Ready {
    Ready {
        pid: 7,
        listen: listen.map(str::to_owned),
        socket: "/d/dormouse.sock".into(),
        api: "/d/api.sock".into(),
        api_listen: None,
        data_dir: "/d".into(),
        version: "1.2.3".to_owned(),
        engine: "MariaDB 10.11.19".to_owned(),
        capabilities: "freezer: cgroup v2\nlimits: none".to_owned(),
        databases,
        warnings: warnings.iter().map(|w| (*w).to_owned()).collect(),
    }
}

#[test]
fn the_banner_has_the_addresses() {
    let text = ready(Some("127.0.0.1:3306"), 0, &["little room"]).banner(Colours::Off);
    let expected = "\
dormouse 1.2.3 is up (pid 7)
  clients    127.0.0.1:3306 and /d/dormouse.sock
  data       /d
  engine     MariaDB 10.11.19
  machine    freezer: cgroup v2
             limits: none
  databases  none yet; create one with: dormouse create NAME
warning: little room
";
    assert_eq!(text, expected);
}

#[test]
fn without_tcp_only_the_socket_is_named() {
    let text = ready(None, 3, &[]).banner(Colours::Off);
    assert!(text.contains("\n  clients    /d/dormouse.sock\n"), "{text}");
    assert!(
        text.contains("\n  databases  3; list them with: dormouse ls\n"),
        "{text}"
    );
}

#[test]
fn the_ready_line_has_the_fields_for_programs() {
    let line = serde_json::to_value(ready(Some("127.0.0.1:1"), 0, &[])).unwrap();
    for key in ["pid", "listen", "socket", "api"] {
        assert!(!line[key].is_null(), "{key} is missing");
    }
}

#[test]
fn the_clients_socket_is_in_the_data_directory_unless_configured() {
    let mut config = Config::default();
    assert_eq!(
        client_socket(&config, Path::new("/d")),
        Ok("/d/dormouse.sock".into())
    );
    config.socket = Some(crate::values::ClientSocket("/run/d.sock".into()));
    assert_eq!(
        client_socket(&config, Path::new("/d")),
        Ok("/run/d.sock".into())
    );
}

#[test]
fn the_plane_gets_the_configured_values() {
    let mut config = Config::default();
    assert_eq!(spec(&config), Spec::default());
    let plane = plane_config(&config, Path::new("/d"));
    assert!(plane.disk.is_some());
    let rest = PlaneConfig {
        disk: None,
        ..plane
    };
    assert_eq!(format!("{rest:?}"), format!("{:?}", PlaneConfig::new("/d")));
    (config.warm_pool.size, config.limits.databases) = (5, 6);
    config.asleep.understudies = 7;
    let plane = plane_config(&config, Path::new("/d"));
    assert_eq!((plane.warm_pool, plane.databases_most), (5, 6));
    assert_eq!(plane.understudies, 7);
}
