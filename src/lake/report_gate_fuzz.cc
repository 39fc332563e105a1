// Any bytes as a statement, or as the engine's syntax tree of one: no text around a forbidden call
// makes the gate open.
#include <cstdlib>

#include "lake/report_gate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::lake;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* sql : {"DROP TABLE exchanges", "INSERT INTO t VALUES (1)", "system reload"}) {
    if (CheckReportStart(sql).ok()) std::abort();
    // Comments and blanks in front change nothing.
    std::string commented = "/*" + std::string(text) + "*/ ";
    if (commented.find("*/") + 3 == commented.size() && CheckReportStart(commented + sql).ok()) {
      std::abort();
    }
  }
  (void)CheckReportStart(text);
  static const std::set<std::string> kTableFunctions = {"url", "file", "numbers", "s3", "remote"};
  std::string tree(text);
  tree += "\n  Function url (children 1)\n";
  if (CheckReportTree(tree + std::string(text), kTableFunctions).ok()) std::abort();
  (void)CheckReportTree(text, kTableFunctions);
  return 0;
}
