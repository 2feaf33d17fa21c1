/* The C interface: invert a photo and write the result: invert_c BUNDLE PHOTO OUT.png */
#include <hyperstyle_deploy/runtime.h>
#include <stdio.h>

static int32_t show(void* context, int64_t index, int64_t photos, const double* l2, const HyperstyleStep* step) {
  (void)context, (void)photos, (void)step;
  printf("step %lld", (long long)index);
  printf(l2 ? ": L2 %.6f\n" : "\n", l2 ? l2[0] : 0.0); /* sketches and labels have none */
  return 1;                                             /* go on */
}

int main(int argc, char** argv) {
  HyperstyleSession* session = NULL;
  HyperstyleInversion* inversion = NULL;
  HyperstyleImage photo = {0}, result = {0};
  HyperstyleArray codes;
  HyperstyleInvertOptions options = HYPERSTYLE_INVERT_OPTIONS;
  if (argc != 4) return 1;
  options.on_step = show;
  int code = hyperstyle_open(argv[1], NULL, &session);
  if (!code) code = hyperstyle_photo_read(argv[2], &photo);
  if (!code) code = hyperstyle_invert(session, &photo, 1, &options, &inversion);
  if (!code) code = hyperstyle_array(inversion, "codes", &codes);
  if (!code) printf("codes [%lld, %lld]\n", (long long)codes.shape[0], (long long)codes.shape[1]);
  if (!code) code = hyperstyle_image(inversion, &result);
  if (!code) code = hyperstyle_png_write(argv[3], &result);
  if (code) fprintf(stderr, "%s\n", hyperstyle_error());
  hyperstyle_inversion_free(inversion);
  hyperstyle_photo_free(&photo);
  hyperstyle_close(session);
  return code ? 2 : 0;
}
