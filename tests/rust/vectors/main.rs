//! Compares our results with the recorded results of the real better-auth package, case by case.
//!
//! `AUTH_VECTORS=dir cargo test --test vectors` reads each `*.json` in the directory whose top
//! level has `"format": 1`, and ignores other JSON. The directory's README describes an entry.

mod entry;
mod judge;
mod rows;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use entry::Entry;
use judge::Outcome;

fn main() -> ExitCode {
    let folder = std::env::var_os("AUTH_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let entries = match read(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            println!("FAIL {}: {error}", folder.display());
            Vec::new()
        }
    };
    let mut set_aside: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut passed, mut failed) = (0, 0);
    for entry in &entries {
        match judge::judge(entry) {
            Ok(Outcome::Passed) => passed += 1,
            Ok(Outcome::SetAside(reason)) => *set_aside.entry(reason).or_default() += 1,
            Err(why) => {
                println!("FAIL {}: {why}", entry.id);
                failed += 1;
            }
        }
    }
    for (reason, count) in &set_aside {
        println!("set aside: {count} × {reason}");
    }
    println!("vectors: {passed} passed, {failed} failed, {} set aside", set_aside.values().sum::<usize>());
    if failed > 0 || entries.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn read(folder: &Path) -> Result<Vec<Entry>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|file| file.map(|file| file.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut entries = Vec::new();
    for path in paths {
        let in_file = |error: &dyn Error| format!("{}: {error}", path.display());
        let json: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).map_err(|error| in_file(&error))?)
                .map_err(|error| in_file(&error))?;
        if json.get("format") != Some(&serde_json::json!(1)) {
            continue;
        }
        let vectors: Vec<Entry> =
            serde_json::from_value(json["vectors"].clone()).map_err(|error| in_file(&error))?;
        entries.extend(vectors);
    }
    if entries.is_empty() {
        return Err("no entries: no *.json has \"format\": 1 and entries".into());
    }
    Ok(entries)
}
