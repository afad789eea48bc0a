/*
 * How the vector variants are compiled: everything inlined, and LANES_UNROLL before loops of
 * constant length whose arrays shall live in registers. With a sanitizer, whose checks would make
 * that minutes of compiling, neither.
 */
#ifndef TANDEM_WORKER_CPU_LANES_UNROLL_H
#define TANDEM_WORKER_CPU_LANES_UNROLL_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LANES_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LANES_SANITIZED 1
#endif
#endif

#if defined(LANES_SANITIZED)
#define LANES_INLINE static inline __attribute__((unused))
#define LANES_UNROLL
#elif defined(__clang__)
#define LANES_INLINE static inline __attribute__((always_inline, unused))
#define LANES_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LANES_INLINE static inline __attribute__((always_inline, unused))
#define LANES_UNROLL _Pragma("GCC unroll 16")
#endif

#endif
