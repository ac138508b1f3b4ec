# Caddy with the built page. Built from the project's root folder: compose.yaml says how. The project's tests run the CMD
# below as a process; no test builds this image.
FROM node:24-alpine AS build
WORKDIR /app
COPY examples/orchestrator_3_stream/frontend/ ./
ARG VITE_AUTH_URL VITE_API_BASE_URL VITE_WEBSOCKET_URL
RUN npm ci && npm run build

FROM caddy:2-alpine
WORKDIR /etc/caddy
COPY examples/orchestrator_3_stream/deploy/caddy/ ./
COPY --from=build /app/dist /srv/page
# Ports that need no privilege; compose.yaml publishes them as 80 and 443.
ENV HTTP_PORT=8080 HTTPS_PORT=8443 PAGE=/srv/page
RUN adduser -S -D -H -u 10001 -G nogroup web && chown 10001 /data /config && setcap -r /usr/bin/caddy
USER 10001
EXPOSE 8080 8443
HEALTHCHECK --interval=10s --start-period=20s CMD ["wget", "--quiet", "--spider", "http://127.0.0.1:8081/health"]
CMD ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
