//! A disk loses power: a file system inside a file is shut down under a running node.
//!
//! What was not synced is gone afterwards, as after a power cut, and a process that goes on gets
//! input/output errors. What is synced during the cut may be gone as well: even for a plain loop of
//! write and fsync the kernel loses the last record then. So the test demands only the songs that
//! were acknowledged before the cut began, while other songs were on their way.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::lab::Lab;
use super::{netlab, sound};

/// How often the power fails.
const CUTS: u64 = 8;

/// Songs of one round; the cut comes after one, two or three of them are acknowledged.
const SONGS: u64 = 8;

/// A file system inside a file; unmounted when dropped.
pub(super) struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Makes the file system; the error says why this machine does not allow it.
    pub(super) fn new(lab: &Lab) -> Result<Disk, String> {
        let (image, mount) = (lab.dir.join("image"), lab.dir.join("disk"));
        fs::create_dir(&mount).expect("a folder");
        let file = File::create(&image).expect("a file");
        file.set_len(128 << 20).expect("room for it");
        let disk = Disk { image, mount };
        run(Command::new("perl").args(["-e", "1"]))?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&disk.image))?;
        disk.mount()?;
        Ok(disk)
    }

    pub(super) fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        run(mount
            .args(["-o", "loop,errors=remount-ro"])
            .arg(&self.image)
            .arg(&self.mount))
    }

    pub(super) fn unmount(&self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.mount))
    }

    /// The power fails: the journal is not written out, and nothing reaches the disk any longer
    /// (`EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`).
    fn cut(&self) -> Result<(), String> {
        let ioctl = "sysopen(my $dir, $ARGV[0], 0) or die; my $how = pack('L', 2); \
                     ioctl($dir, 0x8004587D, $how) or die";
        run(Command::new("perl").args(["-e", ioctl]).arg(&self.mount))
    }

    /// The file system meets an error, as if the disk had reported one, and takes no changes from
    /// then on.
    pub(super) fn turn_read_only(&self) -> Result<(), String> {
        let mounts = fs::read_to_string("/proc/mounts").map_err(|e| e.to_string())?;
        let ours = |line: &&str| line.split(' ').nth(1).map(Path::new) == Some(&*self.mount);
        let line = mounts.lines().find(ours).ok_or("it is not mounted")?;
        let device = line
            .split(' ')
            .next()
            .and_then(|device| device.strip_prefix("/dev/"));
        let device = device.ok_or("it has no device")?;
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "a test").map_err(|e| format!("{trigger}: {e}"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = || format!("{command:?}: {}", said.trim());
    output.status.success().then_some(()).ok_or_else(failed)
}

/// S40: the power fails again and again while songs are being committed. Every acknowledged song is
/// there, byte for byte, and the library is in order.
#[test]
fn nothing_acknowledged_is_lost_by_power_cuts() {
    // In a namespace of its own the mount disappears with the test, however the test ends.
    if !netlab::inside("powercut::nothing_acknowledged_is_lost_by_power_cuts", 1) {
        return;
    }
    let mut lab = Lab::new("power");
    let disk = match Disk::new(&lab) {
        Ok(disk) => disk,
        Err(why) => return sound::skipped(&format!("power cuts, {why}")),
    };
    let (_names, _) = lab.cluster(1, 0);
    let mut data = lab.start("data", "disk/data0", &[]);
    let mut owed: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..CUTS {
        let folder = songs(&lab.dir, round);
        let mut add = lab.command(&["add", "--json", folder.to_str().expect("a plain path")]);
        let mut adding = add.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(adding.stdout.take().expect("it is piped")).lines();
        let acknowledged = lines.by_ref().take(1 + (round % 3) as usize);
        owed.extend(acknowledged.map(|line| added(&line.expect("text"))));
        disk.cut().expect("the file system is shut down");
        data.kill();
        disk.unmount().expect("nobody uses it");
        disk.mount().expect("its journal is replayed");
        data = lab.restart(&data, "disk/data0");
        // The other songs are added to the restarted node, or fail: the test demands none of them.
        lines.for_each(drop);
        adding.wait().expect("our child");
    }
    lab.await_status("every acknowledged song is listed", |status| {
        status["songs"].as_u64() >= Some(owed.len() as u64)
    });
    for (id, file) in &owed {
        let got = lab.ok(&["get", id, "-o", "-"]);
        assert!(got == fs::read(file).expect("added"), "{file}");
    }
    data.kill();
    let dir = lab.dir.join("disk/data0");
    lab.ok(&["verify", "--data-dir", dir.to_str().expect("a plain path")]);
}

/// Makes the files of one round.
fn songs(dir: &Path, round: u64) -> PathBuf {
    let folder = dir.join(format!("songs{round}"));
    fs::create_dir(&folder).expect("a folder");
    for n in 0..SONGS {
        let seed = round * SONGS + n + 1;
        sound::noise(&folder.join(format!("{n}.mp3")), 150_000, seed);
    }
    folder
}

/// Id and file of an added song, from a line of output.
fn added(line: &str) -> (String, String) {
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["outcome"], "added", "{line}");
    let text = |name: &str| line[name].as_str().expect("text").to_owned();
    (text("id"), text("file"))
}
