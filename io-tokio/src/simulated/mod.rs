//! What the driver stands on under `--cfg madsim`, where the operating system is replaced: sockets that are full, cut
//! short and break, and files that lose what was not synced. All of it belongs to the thread, on which a whole run lives.

mod files;
mod sockets;

pub use files::{
    DirEntry, File, Files, Machine, Metadata, OpenOptions, begin as begin_files, create_dir_all,
    epochs_are_settled, machine, metadata, read_dir, read_to_string, remove_file, rename,
};
pub(crate) use files::{is_off, take_cost};
pub use sockets::{
    TcpListener, TcpStream, Weather, begin as begin_sockets, break_lines, darken, is_half_open,
    lighten, lines, lines_between, set_weather,
};
