/* Which symbols the library shows: those marked with HYPERSTYLE_DEPLOY_API. */
#ifndef HYPERSTYLE_DEPLOY_API_H
#define HYPERSTYLE_DEPLOY_API_H

#if defined(HYPERSTYLE_DEPLOY_STATIC)
#define HYPERSTYLE_DEPLOY_API
#elif defined(__GNUC__)
#define HYPERSTYLE_DEPLOY_API __attribute__((visibility("default")))
#else
#define HYPERSTYLE_DEPLOY_API
#endif

#endif
