/// Length of a container's id.
const ID_HEX: usize = 64;

/// The container that a process runs in, by its `/proc/self/mountinfo`: the engine mounts files from its own folder of the
/// container, and unlike the hostname nobody chooses that folder's name.
pub fn container_id_in_mountinfo(mountinfo: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let (root, mount_point) = (fields.next()?, fields.next()?);
        if !matches!(mount_point, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
            return None;
        }
        let folder = root.rsplit('/').nth(1)?;
        is_id(folder).then(|| folder.to_owned())
    })
}

/// The container that this process runs in; None outside of one.
pub(crate) fn own_container_id() -> Option<String> {
    container_id_in_mountinfo(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_HEX && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_by_the_engines_own_mounts_only() {
        let id = "0123456789abcdef".repeat(4);
        let mount =
            |at: &str| format!("700 690 254:0 /docker/containers/{id}/hostname {at} rw,relatime - ext4 /dev/vda rw");
        let root = "690 1 0:50 / / rw,relatime - overlay overlay rw".to_owned();
        let found = |lines: &[&str]| container_id_in_mountinfo(&lines.join("\n"));
        assert_eq!(found(&[&root, &mount("/etc/hostname")]), Some(id.clone()));
        assert_eq!(
            found(&[&root, &mount("/srv/other")]),
            None,
            "somebody else's container, mounted here"
        );
        assert_eq!(found(&[&root]), None);
        assert_eq!(found(&["", "short", "a b c d"]), None);
    }
}
