FROM oven/bun:1.4.5 AS build
WORKDIR /build
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile
COPY tsconfig.json ./
COPY scripts scripts
COPY db db
COPY src src
RUN bun scripts/build-binary.ts

FROM debian:bookworm-slim
COPY --from=build /build/dist/latchkey /usr/local/bin/latchkey
# A new volume takes owner and mode from the folder that it covers.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
# The databases' default paths, ./data/login.sqlite and ./data/service-a.sqlite, are then on the volume.
WORKDIR /
VOLUME /data
ENV HOST=0.0.0.0 NODE_ENV=production
EXPOSE 3000 3001
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["latchkey", "health"]
ENTRYPOINT ["latchkey"]
