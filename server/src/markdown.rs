//! docs/configuration.md, made from the table of keys.

use crate::keys::{Does, Key, SECTIONS};

const HEAD: &str = "\
# Configuration

This page is made from the server's own table of keys by `zoetrope config keys --markdown`; a test keeps it up to date.

## Where settings come from

`zoetrope server --config zoo.cfg` reads the file that a ZooKeeper server reads. A setting may come from three places;
the first one that has it counts:

1. a flag: `--set tickTime=2000`, as often as needed;
2. the environment: `ZOETROPE_` and the key, where dots, hyphens, underscores and case do not count:
   `ZOETROPE_TICK_TIME=2000`, `ZOETROPE_4LW_COMMANDS_WHITELIST='*'`;
3. the file.

In flags and in the environment a key may have Java's prefix `zookeeper.`. In a file the prefix makes a key ineffective,
as in Java, and the server says so. Keys that Java takes only as `-D` options may stand in the file here.

`-D` options in the variables `JVMFLAGS` and `SERVER_JVMFLAGS`, which Java's start scripts hand to the JVM, are taken as a
Java server would take them: the file wins over them, and options that are not ZooKeeper's are left alone.

Without a file the server listens on 127.0.0.1:2181 and keeps its data in `./zoetrope-data`. A file must have `dataDir` and
`clientPort`, and listens on all addresses unless `clientPortAddress` says otherwise.

## What happens to a key

| what it says | what happens |
|---|---|
| honoured | it does what the table says |
| accepted, no effect | there is nothing here it could act on; the table says why |
| accepted, no effect yet | it asks for something this release does not have; a warning where it would be missed |
| refused | the server does not start, with exit code 2 |
| unknown | a warning with the line and the key that may be meant; refused with `--strict` and by `zoetrope config check` |

`zoetrope config check zoo.cfg` shows this for every line of a file without starting anything; its exit code is 0 or 2.

The file is a Java properties file: `key=value`, `key:value` or `key value`; `#` and `!` begin a comment; a backslash
continues a line; characters are ISO 8859-1 or `\\uXXXX`; the last of several lines with the same key counts.

Two things differ from Java by default: old snapshots and logs are purged (see `autopurge.purgeInterval`), and the directory
is locked against a second server.

## How the server ends

SIGTERM and SIGINT end it; sessions go on when it is started again. Log lines go to standard error.

| exit code | meaning |
|---|---|
| 0 | a signal ended it, or the command is done |
| 1 | the data cannot be served, a disk failed, or the client port cannot be had; the last line says which |
| 2 | the command line or the configuration is wrong |
| 3 | a data directory cannot be used |
| 14 | the quorum or election port cannot be had |
| 70 | an internal error; please report it |
";

/// The whole page.
pub fn configuration() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        page.push_str(&format!("\n## {}\n\n{}\n\n", section.title, section.note));
        page.push_str("| key | default | what it does |\n|---|---|---|\n");
        for key in section.keys {
            // A bar would end the cell, even inside of code.
            let effect = effect(key).replace('|', "\\|");
            page.push_str(&format!("| `{}` | {} | {effect} |\n", key.name, key.default));
        }
    }
    page
}

/// One line for each key: name, default, effect.
pub fn plain() -> String {
    let keys = SECTIONS.iter().flat_map(|section| section.keys);
    keys.map(|key| format!("{}\t{}\t{}\n", key.name, key.default, effect(key))).collect()
}

fn effect(key: &Key) -> String {
    match key.does {
        Does::Honoured(about, _) => format!("{about}."),
        Does::Nothing(why) => format!("No effect: {why}."),
        Does::Later(what) | Does::Missing(what) => {
            format!("No effect yet: {what} is not part of this release.")
        }
    }
}
