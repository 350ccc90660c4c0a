use super::*;

/// Version, controllers, mount and own cgroup of each hierarchy, in short form.
fn short(mountinfo: &str, cgroup: &str) -> Vec<String> {
    let show = |h: Hierarchy| {
        format!(
            "{:?} [{}] {} {}",
            h.version,
            h.controllers.join(","),
            h.mount.display(),
            h.own.display()
        )
    };
    parse(mountinfo, cgroup).into_iter().map(show).collect()
}

#[test]
fn a_hybrid_machine() {
    let mountinfo = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    let cgroup = "9:name=systemd:/\n6:freezer:/\n1:cpu,cpuacct:/jobs/a:b\n0::/user.slice\n";
    assert_eq!(
        short(mountinfo, cgroup),
        [
            "V1 [rw,cpu,cpuacct] /sys/fs/cgroup/cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct/jobs/a:b",
            "V1 [rw,freezer] /sys/fs/cgroup/freezer /sys/fs/cgroup/freezer/",
            "V1 [rw,name=systemd] /sys/fs/cgroup/systemd /sys/fs/cgroup/systemd/",
            "V2 [] /sys/fs/cgroup/unified /sys/fs/cgroup/unified/user.slice",
        ]
    );
}

#[test]
fn a_container_sees_only_its_own_part() {
    let mountinfo = "41 31 0:38 /docker/x /sys/fs/cgroup/my\\040group rw - cgroup2 cgroup2 rw\n";
    assert_eq!(
        short(mountinfo, "0::/docker/x/child\n"),
        ["V2 [] /sys/fs/cgroup/my group /sys/fs/cgroup/my group/child"]
    );
    // outside the mounted part, and a path with `..`
    assert!(short(mountinfo, "0::/docker/y\n").is_empty());
    assert!(short(mountinfo, "0::/docker/x/../y\n").is_empty());
}

#[test]
fn a_machine_without_cgroups() {
    assert!(short("", "").is_empty());
    assert!(short("nonsense\n1 2 3 4 - \n", "x\n:\n").is_empty());
    assert!(short("31 23 0:28 / /sys rw - sysfs sysfs rw\n", "0::/\n").is_empty());
}
