// The analysts' console: the files that Vite built, from memory, under the addresses of its
// screens.
#pragma once

#include "serve/http/router.h"

namespace stillwatch::serve {

// Files are public: they hold nothing but the program; what they show comes from /api/v1, which
// asks for a token. Every page is sent with a policy that allows no script, style, image or
// connection of elsewhere. Answers are inline; compressed copies are made once, here.
void AddConsole(Router* router);

}  // namespace stillwatch::serve
