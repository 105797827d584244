#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zoetrope_fuzz::connect_request(data));
