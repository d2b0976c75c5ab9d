//! A victim that has no more memory than is said: a memory control group of its own, where there are such (version 1).

use std::{fs, path::PathBuf};

/// The group; gone when dropped, which is after its process.
pub(crate) struct Cage {
    folder: PathBuf,
}

impl Cage {
    /// A group with so many MiB.
    pub(crate) fn new(mib: u64) -> Result<Self, String> {
        let name = format!("carrick-attacks-{}", std::process::id());
        let folder = PathBuf::from("/sys/fs/cgroup/memory").join(name);
        let made = fs::create_dir_all(&folder).and_then(|()| {
            let limit = (mib << 20).to_string();
            fs::write(folder.join("memory.limit_in_bytes"), limit)
        });
        let cage = Self { folder };
        made.map_err(|error| format!("no group with limited memory: {error}"))?;
        Ok(cage)
    }

    /// What stands before the victim's program. The namespace of the network has hidden the groups, and the victim is to see
    /// what it has.
    pub(crate) fn wrap(&self) -> Vec<String> {
        let join = "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory \
            && mount -t cgroup -o memory none /sys/fs/cgroup/memory \
            && echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        ["sh", "-c", join, &self.folder.display().to_string()]
            .map(str::to_owned)
            .into()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
