#include "serve/http/tls.h"

#include <cstdio>

#include "base/hex.h"
#include "base/str.h"

namespace stillwatch::serve {
namespace internal {
namespace {

namespace ssl = boost::asio::ssl;
using base::StrCat;
using boost::system::error_code;

absl::StatusOr<std::unique_ptr<X509, void (*)(X509*)>> ReadCertificate(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  std::unique_ptr<X509, void (*)(X509*)> out(
      file ? PEM_read_X509(file.get(), nullptr, nullptr, nullptr) : nullptr, X509_free);
  if (out == nullptr)
    return absl::InvalidArgumentError(StrCat("tls: ", path, ": not a certificate in PEM"));
  return out;
}

absl::StatusOr<std::shared_ptr<ssl::context>> ReadCommon(const ServerOptions& o) {
  if (o.tls_certificate.empty() && o.tls_key.empty()) return std::shared_ptr<ssl::context>();
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  error_code ec;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                           ssl::context::no_tlsv1_1 | ssl::context::single_dh_use,
                       ec);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  context->use_certificate_chain_file(o.tls_certificate, ec);
  if (ec) {
    return absl::InvalidArgumentError(
        StrCat("tls: ", o.tls_certificate, ": not a certificate chain in PEM: ", ec.message()));
  }
  context->use_private_key_file(o.tls_key, ssl::context::pem, ec);
  if (ec) {
    return absl::InvalidArgumentError(
        StrCat("tls: ", o.tls_key, ": not the certificate's private key in PEM: ", ec.message()));
  }
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return absl::InvalidArgumentError(
        StrCat("tls: ", o.tls_key, " does not belong to ", o.tls_certificate));
  }
  // HTTP/1.1 and nothing else, for clients that negotiate.
  SSL_CTX_set_alpn_select_cb(
      context->native_handle(),
      [](SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
         unsigned in_size, void*) {
        static const unsigned char kMine[] = "\x08http/1.1";
        return SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, kMine, 9, in,
                                     in_size) == OPENSSL_NPN_NEGOTIATED
                   ? SSL_TLSEXT_ERR_OK
                   : SSL_TLSEXT_ERR_ALERT_FATAL;
      },
      nullptr);
  return context;
}

// Takes no one but who has the key of one of these certificates.
absl::Status AskForCertificate(const std::vector<std::string>& files, ssl::context* context) {
  SSL_CTX* const c = context->native_handle();
  for (const std::string& path : files) {
    auto one = ReadCertificate(path);
    if (!one.ok()) return one.status();
    X509_STORE_add_cert(SSL_CTX_get_cert_store(c), one->get());
    SSL_CTX_add_client_CA(c, one->get());
  }
  // Each of them is trusted as it is, whoever signed it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // No session outlives the list.
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
  return absl::OkStatus();
}

}  // namespace

std::string HashOf(X509* certificate) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), hash, &size) != 1) return "";
  return base::Hex(std::string_view(reinterpret_cast<const char*>(hash), size));
}

absl::StatusOr<TlsContexts> ReadTls(const ServerOptions& o) {
  auto common = ReadCommon(o);
  if (!common.ok()) return common.status();
  TlsContexts out;
  for (const Endpoint& e : o.endpoints) {
    if (e.client_certificates.empty()) {
      out.push_back(*common);
      continue;
    }
    if (*common == nullptr) {
      return absl::InvalidArgumentError(
          StrCat("listen: ", e.address, ":", e.port,
                 " asks for certificates of its clients and has none itself (tls)"));
    }
    auto own = ReadCommon(o);
    if (!own.ok()) return own.status();
    if (absl::Status s = AskForCertificate(e.client_certificates, own->get()); !s.ok()) return s;
    out.push_back(*own);
  }
  return out;
}

}  // namespace internal

absl::StatusOr<std::string> CertificateHash(const std::string& pem_file) {
  auto one = internal::ReadCertificate(pem_file);
  if (!one.ok()) return one.status();
  return internal::HashOf(one->get());
}

}  // namespace stillwatch::serve
