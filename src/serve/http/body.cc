#include "serve/http/body.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "base/str.h"

namespace stillwatch::serve {

namespace {

constexpr size_t kStep = 64u << 10;
// The window that a zstd frame may ask for: 8 MiB, as its own command line writes up to -19.
constexpr int kWindowLogMax = 23;

absl::Status TooLong(size_t limit) {
  return absl::ResourceExhaustedError(
      base::StrCat("the body is longer than ", limit, " bytes once decompressed"));
}

absl::Status Gunzip(std::string_view in, size_t limit, std::string* out) {
  inflate_state state;
  isal_inflate_init(&state);
  state.crc_flag = ISAL_GZIP;
  state.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in.data()));
  state.avail_in = uint32_t(in.size());
  while (true) {
    const size_t have = out->size();
    out->resize(std::min(have + std::max(kStep, have), limit + 1));
    state.next_out = reinterpret_cast<uint8_t*>(out->data() + have);
    state.avail_out = uint32_t(out->size() - have);
    const int code = isal_inflate(&state);
    out->resize(out->size() - state.avail_out);
    if (code != ISAL_DECOMP_OK)
      return absl::InvalidArgumentError("the body is not valid gzip, though it says so");
    if (out->size() > limit) return TooLong(limit);
    if (state.block_state == ISAL_BLOCK_FINISH) {
      if (state.avail_in == 0) return absl::OkStatus();
      uint8_t* const next = state.next_in;  // another member
      const uint32_t left = state.avail_in;
      isal_inflate_reset(&state);
      state.crc_flag = ISAL_GZIP;
      state.next_in = next;
      state.avail_in = left;
    } else if (state.avail_in == 0 && state.avail_out != 0) {
      return absl::InvalidArgumentError("the gzip body is cut short");
    }
  }
}

absl::Status Unzstd(std::string_view in, size_t limit, std::string* out) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   &ZSTD_freeDCtx);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kWindowLogMax);
  ZSTD_inBuffer from{in.data(), in.size(), 0};
  size_t left = 1;
  while (true) {
    const size_t have = out->size();
    out->resize(std::min(have + std::max(kStep, have), limit + 1));
    ZSTD_outBuffer to{out->data() + have, out->size() - have, 0};
    const size_t before = from.pos;
    left = ZSTD_decompressStream(context.get(), &to, &from);
    out->resize(have + to.pos);
    if (ZSTD_isError(left))
      return absl::InvalidArgumentError(
          base::StrCat("the body is not valid zstd: ", ZSTD_getErrorName(left)));
    if (out->size() > limit) return TooLong(limit);
    if (left == 0 && from.pos == from.size) return absl::OkStatus();
    if (from.pos == from.size && to.pos < to.size && from.pos == before)
      return absl::InvalidArgumentError("the zstd body is cut short");
  }
}

}  // namespace

absl::Status Decompress(std::string_view encoding, std::string_view in, size_t limit,
                        std::string* out) {
  std::string name(encoding);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = char(c | 0x20);
  }
  out->clear();
  if (name.empty() || name == "identity") {
    if (in.size() > limit) return TooLong(limit);
    out->assign(in);
    return absl::OkStatus();
  }
  if (in.empty()) return absl::InvalidArgumentError(base::StrCat("the ", name, " body is empty"));
  if (name == "gzip" || name == "x-gzip") return Gunzip(in, limit, out);
  if (name == "zstd") return Unzstd(in, limit, out);
  return absl::UnimplementedError(
      base::StrCat("Content-Encoding ", name, ": send gzip, zstd or none"));
}

}  // namespace stillwatch::serve
