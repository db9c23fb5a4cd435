use std::path::Path;
use std::process::Command;

/// A tar archive of one file at the root.
const BLOCK: usize = 512;

/// The probe (`probe.c`) as a static program.
///
/// # Panics
/// When there is no C compiler with a static C library.
pub(super) fn compile_probe(folder: &Path) -> Vec<u8> {
    let (source, program) = (folder.join("probe.c"), folder.join("probe"));
    std::fs::write(&source, include_str!("probe.c")).expect("the probe's source is written");
    let built = Command::new("cc")
        .args(["-static", "-O1", "-w", "-o"])
        .args([&program, &source])
        .output()
        .expect("there is a C compiler");
    assert!(
        built.status.success(),
        "the probe is built: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    std::fs::read(&program).expect("the probe")
}

/// The archive that becomes a container's whole file system: `/probe`, and folders to mount things into.
pub(super) fn archive(probe: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for folder in ["etc/", "proc/", "sys/", "dev/", "run/", "tmp/"] {
        archive.extend(header(folder, 0, b'5'));
    }
    archive.extend(header("probe", probe.len(), b'0'));
    archive.extend_from_slice(probe);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, size: usize, kind: u8) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
