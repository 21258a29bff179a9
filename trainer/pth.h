// pth.h - PyTorch checkpoints as torch.save() writes them: the zip form (since 1.6) and the legacy form (0.1.10 to 1.5).
#ifndef CLZT_PTH_H
#define CLZT_PTH_H
#include "tensors.h"

enum { CLZT_PTH_HEAD = 264 };               // bytes of a file that are needed to recognise its format

bool clzt_pth_is_zip(const uint8_t *head, size_t size);     // a ZIP archive of any content
bool clzt_pth_is_legacy(const uint8_t *head, size_t size);

// Fill in tensors->tensors and storages from tensors->bytes. section: as in clzt_tensors_open(). 0 or a negative errno, logged
// (but -ENOMEM).
int clzt_pth_open_zip(struct clzt_tensors *tensors, const char *section);
int clzt_pth_open_legacy(struct clzt_tensors *tensors, const char *section);
#endif
