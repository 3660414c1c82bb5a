#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antispoofd_fuzz::settings_load(data));
