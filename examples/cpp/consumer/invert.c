/* The C interface: invert a photo and write the result: invert_c BUNDLE PHOTO OUT.png */
#include <hyperstyle_deploy/runtime.h>
#include <stdio.h>

static int32_t show(void* context, int64_t index, int64_t photos, const float* reconstruction, const double* l2) {
  (void)context, (void)photos, (void)reconstruction;
  printf("step %lld: L2 %.6f\n", (long long)index, l2[0]);
  return 1; /* go on */
}

int main(int argc, char** argv) {
  HyperstyleSession* session = NULL;
  HyperstyleInversion* inversion = NULL;
  HyperstyleImage photo = {0}, result = {0};
  if (argc != 4) return 1;
  int code = hyperstyle_open(argv[1], NULL, &session);
  if (!code) code = hyperstyle_photo_read(argv[2], &photo);
  if (!code) code = hyperstyle_invert(session, &photo, 1, -1, show, NULL, NULL, &inversion);
  if (!code) code = hyperstyle_image(inversion, &result);
  if (!code) code = hyperstyle_png_write(argv[3], &result);
  if (code) fprintf(stderr, "%s\n", hyperstyle_error());
  hyperstyle_inversion_free(inversion);
  hyperstyle_photo_free(&photo);
  hyperstyle_close(session);
  return code ? 2 : 0;
}
