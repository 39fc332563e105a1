// Any bytes as an address database: refused, or it answers for every address.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>

#include "enrich/mmdb.h"

// MMDB_open (1.7) leaks a few kilobytes when it refuses a file for its metadata.
extern "C" const char* __lsan_default_suppressions() { return "leak:libmaxminddb\n"; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::enrich;
  const int fd = memfd_create("mmdb", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  {
    const auto book = AddressBook::Open({path});
    if (book.ok()) {
      std::map<std::string, uint64_t> addresses;
      for (const char* a : {"10.1.2.3", "0.0.0.0", "255.255.255.255", "192.0.2.7", "2001:db8::7",
                            "::", "::ffff:10.1.2.3", "ffff::", "no address"}) {
        addresses[a] = 1;
        (void)book->Lookup(a);
      }
      uint64_t counted = 0;
      for (const auto& line : Summarise(*book, addresses)) counted += line.addresses;
      if (counted > addresses.size()) std::abort();
    } else if (book.status().message().find(path) != 0) {
      std::abort();  // the message names the file
    }
  }
  close(fd);
  return 0;
}
