# The whole system in one image; started, it runs the quickstart. configs/cluster/rayjob.yaml runs it on Kubernetes.
#   docker build -t gato-dist .                                    # torch for CPUs
#   docker build --build-arg TORCH_BACKEND=cu130 -t gato-dist .    # torch for NVIDIA GPUs: docker run --gpus all …
#   docker run --rm --shm-size=4g -v gato-runs:/app/runs gato-dist
# --shm-size: Ray's object store, through which processes hand each other weights, lies in /dev/shm, where Docker gives
# 64 MiB. Less than the store wants does not end a run: the store lies on the disk then, and weights travel slowly.
FROM python:3.11.13-slim-bookworm
# OpenGL and EGL: what DM Control, Meta-World and MuJoCo draw with. wget: KubeRay's probes. Debian keeps one version of
# each package, the newest with its security fixes: a pinned one could not be installed once there is a newer.
# hadolint ignore=DL3008
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends libegl1 libgl1 libglib2.0-0 libopengl0 make wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 gato
WORKDIR /app
COPY . .
# cpu, cu126, cu130 and others: an index of PyTorch's, in uv's words.
ARG TORCH_BACKEND=cpu
ARG EXTRAS=live,suites,procgen,video,images,minari
# The user may not write beside the packages, where Python would keep what it compiled.
RUN UV_TORCH_BACKEND="$TORCH_BACKEND" UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 make EXTRAS="$EXTRAS" install \
    && install -d -o gato -g gato runs \
    && echo "export PATH=/app/.venv/bin:\$PATH" > /etc/profile.d/gato-dist.sh
ENV PATH=/app/.venv/bin:$PATH
USER 1000:1000
CMD ["gato-dist", "train", "configs/quickstart.yaml"]
