//! Files as the operating system gives them, or simulated ones in their place.

#[cfg(madsim)]
pub(crate) use crate::simulated::{
    File, create_dir_all, metadata, read_dir, read_to_string, remove_file, rename,
};
#[cfg(not(madsim))]
pub(crate) use std::fs::{
    File, create_dir_all, metadata, read_dir, read_to_string, remove_file, rename,
};
