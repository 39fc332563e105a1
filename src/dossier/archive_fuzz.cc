// Any bytes as an archive: verifying ends, and never finds a signature of a key that signed
// nothing.
#include <cstdlib>

#include "dossier/archive.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static const std::string nobody(32, '\x42');
  if (stillwatch::dossier::Verify(bytes, nobody).ok()) std::abort();
  (void)stillwatch::dossier::Verify(bytes, "").ok();
  return 0;
}
