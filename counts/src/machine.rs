//! What decides which code runs besides the compiler: the processor as ciphers and libc see it.

/// The architecture and the features that pick an implementation at run time.
pub(crate) fn describe() -> String {
    let mut words = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("sse4.1", is_x86_feature_detected!("sse4.1")),
            ("aes", is_x86_feature_detected!("aes")),
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("bmi2", is_x86_feature_detected!("bmi2")),
            ("adx", is_x86_feature_detected!("adx")),
            ("sha", is_x86_feature_detected!("sha")),
            ("ermsb", is_x86_feature_detected!("ermsb")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
        ];
        words.extend(
            features
                .iter()
                .filter(|(_, has)| *has)
                .map(|(name, _)| *name),
        );
    }
    words.join(" ")
}
