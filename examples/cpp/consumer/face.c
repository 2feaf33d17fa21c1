/* The C interface: a face out of a photo, inverted, and back: face_c BUNDLE PHOTO LEFT UPPER RIGHT LOWER OUT.png
 * The box is from the brows to the chin and from cheek to cheek. OUT.png.inversion keeps where the face was. */
#include <hyperstyle_deploy/runtime.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  HyperstyleSession* session = NULL;
  HyperstyleInversion* inversion = NULL;
  HyperstyleImage photo = {0}, face = {0}, drawn = {0}, pasted = {0};
  HyperstyleSizes sizes = HYPERSTYLE_SIZES;
  HyperstylePoint landmarks[HYPERSTYLE_BOX_LANDMARKS];
  HyperstyleCrop crop;
  char path[1024];
  double box[4];
  if (argc != 8) return 1;
  for (int edge = 0; edge < 4; ++edge) box[edge] = atof(argv[3 + edge]);
  snprintf(path, sizeof path, "%s.inversion", argv[7]);
  int code = hyperstyle_open(argv[1], NULL, &session);
  if (!code) code = hyperstyle_sizes(session, &sizes);
  if (!code) code = hyperstyle_photo_read(argv[2], &photo);
  uint8_t* pixels = malloc((size_t)(3 * sizes.image_width * sizes.image_width) + 1);
  uint8_t* whole = malloc((size_t)(3 * photo.height * photo.width) + 1);
  if (!code) code = hyperstyle_landmarks_in(box, landmarks);
  if (!code) code = hyperstyle_align(&photo, landmarks, HYPERSTYLE_BOX_LANDMARKS, sizes.image_width, pixels, &crop);
  face.data = pixels, face.height = face.width = sizes.image_width;
  if (!code) code = hyperstyle_invert(session, &face, 1, NULL, &inversion);
  if (!code) code = hyperstyle_keep_crop(inversion, &crop);
  if (!code) code = hyperstyle_inversion_save(inversion, path);
  if (!code) code = hyperstyle_image(inversion, &drawn);
  if (!code) code = hyperstyle_paste_back(&photo, &drawn, &crop, 0.1, whole);
  pasted.data = whole, pasted.height = photo.height, pasted.width = photo.width;
  if (!code) code = hyperstyle_png_write(argv[7], &pasted);
  if (code) fprintf(stderr, "%s\n", hyperstyle_error());
  hyperstyle_inversion_free(inversion);
  hyperstyle_photo_free(&photo);
  hyperstyle_close(session);
  free(pixels);
  free(whole);
  return code ? 2 : 0;
}
