//! Fuzz target: owns nothing but the way from bytes to `acg_fuzz::commands_property::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &str| {
    acg_fuzz::commands_property::check(data);
});
